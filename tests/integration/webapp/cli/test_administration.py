"""``omninode db``, ``keys``, ``tasks`` and ``relay``, and what they say when a server is away."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest
import redis

from tasks.access.service import AccessService
from tasks.db.pool import Database
from tasks.errors import Unauthorized
from tasks.settings import Settings
from tests.integration.webapp.cli.conftest import Accept, Run
from tests.integration.webapp.support import closed_port
from webapp import penalties


def test_a_new_database_is_brought_up_to_date_once(run: Run, empty_database_url: str) -> None:
    before = run("db status", DATABASE_URL=empty_database_url)
    assert before.exit_code == 1
    assert "not yet" in before.stdout
    assert run("hooks list", DATABASE_URL=empty_database_url).stderr == (
        "Error: The database lacks a table that this version needs: run `omninode db upgrade`.\n"
    )
    applied = orjson.loads(run("db upgrade --json", DATABASE_URL=empty_database_url).stdout)["applied"]
    assert applied[0] == "0001_foundation.sql"
    assert "up to date" in run("db upgrade", DATABASE_URL=empty_database_url).stdout
    after = run("db status --json", DATABASE_URL=empty_database_url)
    assert after.exit_code == 0
    assert orjson.loads(after.stdout)["pending"] == []


def test_a_key_is_made_listed_without_its_secret_and_revoked(run: Run, db: Database) -> None:
    made = orjson.loads(run("keys create ci --scope hooks:write --expires 90d --json").stdout)
    assert AccessService(db).verify(made["key"]).scopes == {"hooks:write"}
    listed = run("keys list")
    assert made["prefix"] in listed.stdout
    assert made["key"] not in listed.stdout
    assert run("keys revoke", made["prefix"]).exit_code == 0
    with pytest.raises(Unauthorized):
        AccessService(db).verify(made["key"])
    assert orjson.loads(run("keys list --json").stdout)["items"][0]["state"] == "revoked"
    assert run("keys revoke", made["prefix"]).exit_code == 1


def test_a_key_has_the_common_scopes_by_default_and_is_printed_once(run: Run) -> None:
    result = run("keys create ci")
    assert "hooks:read hooks:write" in result.stdout
    assert "omni_" in result.stdout
    assert run("keys create", " ").exit_code == 1


def test_a_task_is_sent_and_the_mirror_is_shown(run: Run, db: Database) -> None:
    sent = orjson.loads(run("tasks send demo.fib --json --kwargs", '{"n": 3}').stdout)
    assert sent["name"] == "demo.fib"
    with db.transaction() as tx:
        tx.execute(
            "INSERT INTO task_states (task_id, name, state, rank, version, first_seen_at, updated_at)"
            " VALUES (%(id)s, 'demo.fib', 'sent', 0, 1, now(), now())",
            {"id": sent["task_id"]},
        )
    assert sent["task_id"] in run("tasks list --state sent --name demo.fib").stdout
    assert orjson.loads(run(f"tasks show --json {sent['task_id']}").stdout)["state"] == "sent"
    assert "demo.fib" in run(f"tasks show {sent['task_id']}").stdout
    assert run("tasks show nothing").exit_code == 1


def test_the_relay_is_shown_set_back_and_made_to_skip(run: Run, accept: Accept, db: Database) -> None:
    accept()
    status = orjson.loads(run("relay status --json").stdout)
    assert (status["position"], status["lag_rows"]) == (0, 1)
    assert "lag rows" in run("relay status").stdout
    asked = run("relay skip --count 1 --reason", "can't be sent")
    assert asked.exit_code == 1
    skipped = orjson.loads(run("relay skip --json --yes --count 1 --reason", "can't be sent").stdout)
    assert skipped["to"] > 0
    assert run("relay skip --yes --count 99 --reason x").exit_code == 1
    assert run("relay replay").exit_code == 0
    assert orjson.loads(run("relay status --json").stdout)["position"] == 0
    assert run("relay replay --from 999999").exit_code == 1
    with db.transaction() as tx:
        codes = [row["code"] for row in tx.all("SELECT code FROM security_audit_log ORDER BY id")]
    assert codes == ["relay-skip", "relay-replay"]


@pytest.mark.parametrize(
    "line", ["hooks list", "dead list", "keys list", "tasks list", "relay status", "db status", "db upgrade"]
)
def test_without_postgresql_it_is_one_clear_line(run: Run, line: str) -> None:
    result = run(line, DATABASE_URL=f"postgresql://127.0.0.1:{closed_port()}/none")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "Error: PostgreSQL does not accept connections now.\n"


def test_without_redis_a_task_is_not_sent_and_a_replay_is_done_all_the_same(
    run: Run, accept: Accept, handle: Callable[[], int]
) -> None:
    nobody = f"redis://127.0.0.1:{closed_port()}"
    result = run("tasks send demo.fib", REDIS_URL=nobody)
    assert result.exit_code == 1
    assert result.stderr == "Error: Redis does not take the message now.\n"
    hook_id = accept()
    handle()
    assert run(f"hooks replay {hook_id}", REDIS_URL=nobody).exit_code == 0
    assert handle() == 1


def test_without_an_address_a_hook_is_not_sent(run: Run) -> None:
    line = "hooks send --source a --action b --resource c --resource-id d"
    assert "set OMNINODE_URL and OMNINODE_API_KEY" in run(line).stderr
    result = run(line, OMNINODE_URL=f"http://127.0.0.1:{closed_port()}", OMNINODE_API_KEY="omni_x")
    assert result.exit_code == 1
    assert "does not answer" in result.stderr


def test_an_address_that_is_slowed_down_is_listed_and_let_go(run: Run, settings: Settings, db: Database) -> None:
    assert orjson.loads(run("limits list --json").stdout) == {"items": []}
    client = redis.Redis.from_url(settings.redis_url, socket_timeout=5)
    slowed = penalties.Penalties(client)
    for _ in range(5):
        slowed.login_failed("10.1.1.1")
    client.close()
    assert orjson.loads(run("limits list --json").stdout) == {"items": [{"address": "10.1.1.1", "limits": "1/4"}]}
    findings = {finding["name"]: finding for finding in orjson.loads(run("doctor --json").stdout)["findings"]}
    assert "10.1.1.1" in findings["logins"]["detail"]
    assert run("limits lift 10.1.1.1").stdout == "10.1.1.1 has its whole limits again\n"
    assert run("limits lift 10.1.1.1").exit_code == 1
    with db.transaction() as tx:
        assert tx.all("SELECT detail FROM security_audit_log WHERE code = 'limit-lifted'") == [
            {"detail": "address 10.1.1.1"}
        ]
