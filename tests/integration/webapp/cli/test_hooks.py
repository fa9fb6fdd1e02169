"""``omninode hooks`` and ``omninode dead``."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import orjson

from tasks.db.pool import Database
from tests.integration.webapp.cli.conftest import Accept, Run


def test_hooks_are_listed_newest_first_by_page(run: Run, accept: Accept) -> None:
    ids = [str(accept(source)) for source in ("a", "b", "b")]
    listed = orjson.loads(run("hooks list --json --limit 2").stdout)
    assert [item["id"] for item in listed["items"]] == [ids[2], ids[1]]
    rest = orjson.loads(run("--json hooks list --cursor", listed["next_cursor"]).stdout)
    assert [item["id"] for item in rest["items"]] == [ids[0]]
    assert rest["next_cursor"] is None
    only = orjson.loads(run("hooks list --json --source a --state received --type service-startup --since 1h").stdout)
    assert [item["id"] for item in only["items"]] == [ids[0]]
    assert orjson.loads(run("hooks list --json --until 1h").stdout)["items"] == []


def test_the_list_in_a_pipe_is_plain_text(run: Run, accept: Accept) -> None:
    hook_id = str(accept("shop"))
    accept("shop\x1b[31m")
    result = run("hooks list --limit 2")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split()[:1] == ["id"]
    assert lines[2].startswith(hook_id)
    assert "\t" not in result.stdout
    assert "\x1b" not in result.stdout
    assert "\\x1b[31m" in lines[1]


def test_a_hook_is_shown_with_attempts_and_journal(run: Run, accept: Accept, handle: Callable[[], int]) -> None:
    hook_id = accept("shop", port=80)
    assert handle() == 1
    shown = orjson.loads(run(f"hooks show {hook_id} --json").stdout)
    assert shown["state"] == "handled"
    assert len(shown["attempts"]) == 1
    assert [row["event_type"] for row in shown["journal"]] == [
        "hook-received",
        "hook-state-changed",
        "service-startup",
    ]
    text = run(f"hooks show {hook_id}").stdout
    assert '{"port":80}' in text
    assert "processing -> handled" in text


def test_a_hook_that_is_not_there_is_one_clear_line(run: Run) -> None:
    missing = uuid4()
    result = run(f"hooks show {missing}")
    assert result.exit_code == 1
    assert result.stderr == f"Error: There is no hook {missing}.\n"
    as_json = run(f"hooks show {missing} --json")
    assert orjson.loads(as_json.stderr)["error"]["code"] == "RESOURCE_1"
    assert as_json.stdout == ""


def test_what_a_filter_finds_is_replayed(run: Run, accept: Accept, handle: Callable[[], int], db: Database) -> None:
    ids = [str(accept("shop", "fail", "demo", refuse=True)) for _ in range(3)]
    other = str(accept("other", "fail", "demo", refuse=True))
    while handle():
        pass
    assert run("hooks replay").exit_code == 2
    assert run(f"hooks replay {other} --source shop").exit_code == 2
    first = orjson.loads(run("hooks replay --source shop --since 1h --limit 2 --json").stdout)
    assert ([item["id"] for item in first["items"]], first["more"]) == (ids[:2], True)
    assert run("hooks replay --source shop").stdout == f"{ids[2]}  dead -> received\n"
    assert run("hooks replay --state handled --source shop").stdout == ""
    assert run("dead replay --all").stdout == "1 sent through again\n"
    with db.transaction() as tx:
        acts = tx.all("SELECT detail FROM security_audit_log WHERE code = 'hook-replayed' ORDER BY id")
    assert [act["detail"].split(",")[0] for act in acts] == ["2 hooks", "1 hooks", f"hook {other}"]


def test_a_replay_sends_it_through_again_and_is_audited(
    run: Run, accept: Accept, handle: Callable[[], int], db: Database
) -> None:
    hook_id = accept()
    assert run(f"hooks replay {hook_id}").exit_code == 1
    handle()
    replayed = run(f"hooks replay {hook_id} --json")
    assert orjson.loads(replayed.stdout)["items"][0]["previous_state"] == "handled"
    assert handle() == 1
    with db.transaction() as tx:
        rows = tx.all("SELECT kind, code, actor, detail FROM security_audit_log")
    assert [(row["kind"], row["code"], row["detail"]) for row in rows] == [
        ("admin", "hook-replayed", f"hook {hook_id}")
    ]
    assert rows[0]["actor"].startswith("cli:")


def test_dead_hooks_are_listed_with_their_reason_and_replayed(
    run: Run, accept: Accept, handle: Callable[[], int]
) -> None:
    dead = [accept(source, "fail", "demo", refuse=True) for source in ("a", "a", "b")]
    alive = accept("a")
    handle()
    listed = orjson.loads(run("dead list --json").stdout)["items"]
    assert {UUID(item["id"]) for item in listed} == set(dead)
    assert "asked to be refused" in run("dead list").stdout
    assert len(orjson.loads(run("dead replay --json --all --source a").stdout)["items"]) == 2
    assert run(f"dead replay {dead[2]}").stdout == "1 sent through again\n"
    assert run(f"dead replay {alive}").exit_code == 0
    assert run("dead list").stdout == "no dead hooks\n"
    assert run("dead replay --all").stdout == "0 sent through again\n"


def test_dead_hooks_are_dropped_when_told_twice(
    run: Run, accept: Accept, handle: Callable[[], int], db: Database
) -> None:
    dead = [accept(source, "fail", "demo", refuse=True) for source in ("a", "b")]
    alive = accept("a")
    handle()
    asked = run(f"dead drop --json {dead[0]}")
    assert asked.exit_code != 0
    assert (asked.stdout, "Go on?" in asked.stderr) == ("", True)
    assert run(f"dead drop {dead[0]} --yes").stdout == "1 dropped\n"
    refused = run(f"dead drop {alive} --yes")
    assert refused.exit_code != 0
    assert "only a dead hook can be dropped" in refused.stderr
    assert run(f"dead drop {dead[0]} --yes").exit_code != 0
    assert run("dead drop --all --yes").stdout == "1 dropped\n"
    assert run("dead list").stdout == "no dead hooks\n"
    with db.transaction() as tx:
        told = tx.all(
            "SELECT aggregate_id, version, payload->>'state' AS state FROM journal WHERE payload->>'from' = 'dead'"
        )
        audit = tx.all("SELECT detail FROM security_audit_log WHERE code = 'hook-dropped' ORDER BY id")
    assert {(row["aggregate_id"], row["version"], row["state"]) for row in told} == {
        (str(hook_id), 4, "dropped") for hook_id in dead
    }
    assert [row["detail"] for row in audit] == [f"hook {hook_id}" for hook_id in dead]
