"""``omninode doctor`` on servers that are well, away, hung or wrongly set."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
import redis

from tasks.db.pool import Database
from tasks.settings import Settings
from tasks.workflows import definitions
from tasks.workflows.definition.parse import parse_definition
from tests.integration.conftest import CeleryProcesses, wait_until
from tests.integration.webapp.cli.conftest import Accept, Run
from tests.integration.webapp.support import closed_port, hanging_server

pytestmark = pytest.mark.usefixtures("kafka_bootstrap")

Findings = dict[str, dict[str, str]]


@pytest.fixture
def diagnose(run: Run) -> Callable[..., Findings]:
    """The findings by name."""

    def look(**environ: str | None) -> Findings:
        result = run("doctor --json", **environ)
        body = orjson.loads(result.stdout)
        assert body["ok"] == (result.exit_code == 0)
        return {finding["name"]: finding for finding in body["findings"]}

    return look


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    made = redis.Redis.from_url(settings.redis_url, socket_timeout=5)
    yield made
    made.close()


def test_servers_that_are_well_are_ok_and_missing_processes_are_named(diagnose: Callable[..., Findings]) -> None:
    found = diagnose()
    well = (
        "settings",
        "PostgreSQL",
        "clocks",
        "schema",
        "Redis",
        "Redis policy",
        "Kafka",
        "journal partitions",
        "inbox",
        "schedules",
    )
    assert {name: found[name]["status"] for name in well} == dict.fromkeys(well, "ok")
    for name in ("workers of hooks", "workers of bridges", "beat", "API keys"):
        assert found[name]["status"] == "fail"
        assert found[name]["advice"]


def test_workers_and_beat_that_run_are_seen(
    diagnose: Callable[..., Findings], celery_processes: CeleryProcesses, client: redis.Redis
) -> None:
    celery_processes.worker("hooks", "bridges", concurrency=1)
    celery_processes.beat()
    wait_until(lambda: client.exists("omninode:redbeat::lock"), what="beat's lock")
    found = diagnose()
    assert found["workers of hooks"]["status"] == "ok"
    assert found["workers of bridges"]["status"] == "ok"
    assert found["workers of metrics"]["status"] == "fail"
    assert found["beat"]["status"] == "ok"


def test_a_queue_of_a_users_kind_that_no_worker_takes_is_named(diagnose: Callable[..., Findings]) -> None:
    found = diagnose(
        OMNINODE_IMPORTS="tests.integration.tasks.workflows.engine_tasks", WORKFLOW_QUEUES="workflows,gpu"
    )
    for queue in ("own", "gpu"):
        assert found[f"workers of {queue}"]["status"] == "fail"
        assert f"celery -A tasks.celery worker -Q {queue}" in found[f"workers of {queue}"]["advice"]
    assert "-Q lab" in found["workers of lab"]["advice"]


def test_schedules_that_nobody_looks_at_are_said(diagnose: Callable[..., Findings], db: Database) -> None:
    steps = [{"key": "nap", "kind": "wait", "with": {"seconds": 1}}]
    definitions.put(db, parse_definition({"name": "nap", "steps": steps}))
    with db.transaction() as tx:
        tx.execute(
            "INSERT INTO schedules (id, name, state, every_s, timezone, jitter_s, catch_up, catch_up_limit, grace_s,"
            " overlap, workflow, input, tags, metadata, next_tick, due_at, created_by) SELECT gen_random_uuid(), 's',"
            " 'active', 60, 'UTC', 0, 'skip', 1, 60, 'allow', 'nap', '{}', '{}', '{}', late, late, 'test'"
            " FROM (SELECT now() - interval '5 minutes' AS late) AS times"
        )
        tx.execute(
            "INSERT INTO schedule_ticks (schedule_id, tick, outcome, detail)"
            " SELECT id, now(), 'failed', 'x' FROM schedules"
        )
    found = diagnose()
    assert found["schedules"]["status"] == "fail"
    assert "bridge worker" in found["schedules"]["advice"]
    assert found["failed schedules"]["status"] == "warn"


def test_kafka_away_is_said_and_the_rest_is_looked_at(diagnose: Callable[..., Findings]) -> None:
    found = diagnose(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{closed_port()}")
    assert found["Kafka"]["status"] == "fail"
    assert "KAFKA_BOOTSTRAP_SERVERS" in found["Kafka"]["advice"]
    assert found["PostgreSQL"]["status"] == found["Redis"]["status"] == found["inbox"]["status"] == "ok"


def test_postgresql_away_is_said_and_the_rest_is_looked_at(diagnose: Callable[..., Findings]) -> None:
    found = diagnose(DATABASE_URL=f"postgresql://127.0.0.1:{closed_port()}/none")
    assert found["PostgreSQL"]["status"] == found["schema"]["status"] == "fail"
    assert found["inbox"]["status"] == found["relay"]["status"] == "skip"
    assert found["Redis"]["status"] == found["Kafka"]["status"] == "ok"


def test_redis_away_is_said_and_the_rest_is_looked_at(diagnose: Callable[..., Findings]) -> None:
    found = diagnose(REDIS_URL=f"redis://127.0.0.1:{closed_port()}")
    assert found["Redis"]["status"] == "fail"
    assert found["workers"]["status"] == found["beat"]["status"] == "skip"
    assert found["PostgreSQL"]["status"] == found["inbox"]["status"] == "ok"


def test_servers_that_hang_do_not_hang_the_doctor(diagnose: Callable[..., Findings]) -> None:
    with hanging_server() as port:
        found = diagnose(
            DATABASE_URL=f"postgresql://127.0.0.1:{port}/x",
            REDIS_URL=f"redis://127.0.0.1:{port}",
            KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{port}",
            OMNINODE_URL=f"http://127.0.0.1:{port}",
        )
    names = ("PostgreSQL", "schema", "Redis", "Kafka", "API")
    assert {name: found[name]["status"] for name in names} == dict.fromkeys(names, "fail")
    assert found["disk"]["status"] in ("ok", "warn", "fail")


def test_a_stack_that_is_gone_is_told_to_start(
    diagnose: Callable[..., Findings], settings: Settings, tmp_path: Path
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    described = {
        "database": settings.database_url,
        "redis": settings.redis_url,
        "kafka": settings.kafka_bootstrap_servers,
        "pids": {"up": gone.pid},
    }
    (tmp_path / "stack.json").write_bytes(orjson.dumps(described))
    nothing: dict[str, str | None] = {"DATABASE_URL": None, "REDIS_URL": None}
    found = diagnose(**nothing, OMNINODE_STACK_DIR=str(tmp_path))
    assert found["stack"]["status"] == "fail"
    assert "omninode up" in found["stack"]["advice"]
    assert found["PostgreSQL"]["status"] == "ok"


def test_a_database_without_a_schema_is_told_to_upgrade(
    diagnose: Callable[..., Findings], empty_database_url: str
) -> None:
    found = diagnose(DATABASE_URL=empty_database_url)
    assert found["PostgreSQL"]["status"] == "ok"
    assert found["schema"]["status"] == "fail"
    assert "omninode db upgrade" in found["schema"]["advice"]


def test_a_redis_that_evicts_and_keeps_no_file_is_found_out(
    diagnose: Callable[..., Findings], client: redis.Redis
) -> None:
    before = client.config_get("maxmemory-policy", "appendonly")
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("appendonly", "no")
    try:
        found = diagnose()
    finally:
        for name, value in before.items():
            client.config_set(name, value)
    assert found["Redis policy"]["status"] == "fail"
    assert found["Redis persistence"]["status"] == "warn"


def test_what_waits_is_old_or_dead_is_found(
    diagnose: Callable[..., Findings], accept: Accept, handle: Callable[[], int], db: Database, client: redis.Redis
) -> None:
    accept("a", "fail", "demo", refuse=True)
    handle()
    accept("b")
    accept("c")
    with db.transaction() as tx:
        tx.execute("UPDATE inbox SET next_attempt_at = now() - interval '1 hour' WHERE source = 'b'")
        tx.execute(
            "UPDATE inbox SET state = 'processing', lease_token = gen_random_uuid(),"
            " lease_until = now() - interval '1 minute' WHERE source = 'c'"
        )
        tx.execute("UPDATE journal SET recorded_at = recorded_at - interval '20 seconds'")
        tx.execute("SELECT journal_make_partition((now() AT TIME ZONE 'UTC')::date + 9)")
        tx.execute("DROP TABLE journal_" + _tomorrow(db))
    for number in range(1200):
        client.xadd("omninode:task-states", {"e": str(number)})
    found = diagnose()
    assert found["inbox"]["status"] == "fail"
    assert found["leases"]["status"] == "warn"
    assert found["dead hooks"]["status"] == "warn"
    assert found["relay"]["status"] == "warn"
    assert "bridges" in found["relay"]["advice"]
    assert found["journal partitions"]["status"] == "warn"
    assert found["mirror"]["status"] == "warn"


def _tomorrow(db: Database) -> str:
    with db.transaction() as tx:
        row = tx.one("SELECT to_char((now() AT TIME ZONE 'UTC')::date + 1, 'YYYYMMDD') AS day")
    return str((row or {})["day"])


def test_in_a_pipe_each_finding_is_a_line_and_the_end_sums_up(run: Run) -> None:
    result = run("doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ok    settings")
    assert "failed" in lines[-1]
    assert "\t" not in result.stdout
