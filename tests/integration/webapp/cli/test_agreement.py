"""The agreement check: it passes on a whole story, and each way of disagreeing is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf
from uuid import uuid4

import pytest

from tasks import demo
from tasks.db.pool import Database
from tasks.ids import new_id
from tasks.queue.app import create_celery
from tasks.runtime import Runtime
from tasks.settings import Settings
from tasks.workflows.attempt import Attempt
from tasks.workflows.kinds import emit
from tasks.workflows.work.itemwork import ItemWork
from tests.integration.bridges.relay.support import RunningRelay
from tests.integration.tasks.workflows.workbench import Workbench
from tests.integration.webapp.cli.conftest import Accept
from webapp.cli.agreement import AgreementReport, check, wait_until_settled

Check = Callable[..., AgreementReport]


@pytest.fixture
def relay(settings: Settings, kafka_bootstrap: str) -> Iterator[RunningRelay]:
    running = RunningRelay(settings)
    yield running
    running.stop()


@pytest.fixture
def compare(db: Database, settings: Settings, kafka_bootstrap: str) -> Check:
    def run(**options: object) -> AgreementReport:
        chosen = {"timeout_s": 3.0, **options}
        return check(db, kafka_bootstrap, settings.environment, **chosen)  # type: ignore[arg-type]

    return run


def failures(report: AgreementReport) -> set[str]:
    return {finding.name for finding in report.findings if not finding.ok}


@pytest.mark.usefixtures("relay")
def test_a_whole_story_agrees(db: Database, accept: Accept, handle: Callable[[], int], compare: Check) -> None:
    expected = {accept("run-1-a"): "handled", accept("run-1-b", "fail", "demo", refuse=True): "dead"}
    accept("other")
    handle()
    settled = wait_until_settled(db, 20)
    assert settled
    report = compare(source_prefix="run-1-", expected=expected)
    assert report.ok, str(report)
    assert report.journal_count == report.kafka_count == 9
    assert report.digest_journal == report.digest_kafka
    assert report.as_dict()["ok"] is True


@pytest.mark.usefixtures("relay")
def test_events_that_steps_emit_agree_whatever_their_keys(db: Database, settings: Settings, compare: Check) -> None:
    runtime = Runtime(settings, "test")
    run_id = new_id()
    for place in range(6):
        attempt = Attempt(runtime, run_id, "order", f"tell-{place // 2}", 1, "c-1", "ada", inf, index=place % 2)
        emit.run(
            attempt, {"event": "order-done", "data": {"n": place}} | ({"key": "customer-7"} if place < 4 else {})
        )
        with db.transaction() as tx:
            for effect in attempt.effects:
                effect(tx)
    runtime.close()
    assert wait_until_settled(db, 20)
    report = compare()
    assert report.ok, str(report)
    assert report.journal_count == report.kafka_count == 6


@pytest.mark.usefixtures("relay")
def test_runs_of_workflows_agree_and_a_lost_change_of_a_step_is_found(
    db: Database, settings: Settings, compare: Check
) -> None:
    app = create_celery(settings, role="test")
    bench = Workbench(app)
    fib = {
        "kind": "task",
        "with": {"task": demo.fib.name, "args": {"n": "${{ item }}"}},
        "retry": {"max_attempts": 1},
    }
    run_id = bench.submit(
        {"key": "told", "kind": "emit", "with": {"event": "order-done"}},
        {"key": "each", "kind": "map", "with": {"over": [1, "none"], "step": fib, "on_item_failure": "collect"}},
    )
    bench.work(run_id)
    ItemWork(app.bridge, bench.following).work(run_id, 1, [(0, 2)])
    assert bench.run(run_id)["state"] == "succeeded"
    assert wait_until_settled(db, 20)
    report = compare()
    assert report.ok, str(report)
    with db.transaction() as tx:
        told = tx.all("SELECT DISTINCT aggregate_type FROM journal")
        assert {"run", "step", "item"} <= {row["aggregate_type"] for row in told}
        tx.execute("DELETE FROM journal WHERE aggregate_type = 'step' AND version = 2")
    assert "journal versions contiguous" in failures(compare(timeout_s=0.5))
    app.bridge.close()
    app.close()


def test_what_still_waits_is_said(db: Database, accept: Accept) -> None:
    accept("a")
    settled = wait_until_settled(db, 0.1)
    assert not settled
    assert settled.waiting_for == ("1 unfinished hooks",)
    assert wait_until_settled(db, 0.1, source_prefix="b").waiting_for == ("1 journal ids to relay",)


def test_a_database_that_is_away_is_waited_for(settings: Settings) -> None:
    away = Database(replace(settings, database_url="postgresql://127.0.0.1:1/none"), "test")
    assert wait_until_settled(away, 0.1).waiting_for == ("PostgreSQL does not accept connections now.",)


@pytest.mark.usefixtures("relay")
def test_hooks_that_are_missing_extra_or_in_another_state_are_found(
    accept: Accept, handle: Callable[[], int], compare: Check
) -> None:
    first, second = accept("run-a"), accept("run-b")
    handle()
    assert failures(compare(source_prefix="run-", expected={first: "handled"})) == {"accepted = inbox"}
    assert compare(source_prefix="run-", expected={first: "handled"}, unanswered=1).ok
    both = {first: "handled", second: "handled"}
    assert failures(compare(expected={**both, uuid4(): "handled"})) == {"accepted = inbox"}
    assert failures(compare(expected={**both, second: "dead"})) == {"accepted = inbox"}


def test_a_journal_that_kafka_has_not_is_found(accept: Accept, handle: Callable[[], int], compare: Check) -> None:
    accept("a")
    handle()
    report = compare(timeout_s=0.5)
    assert failures(report) == {
        "relay has passed the journal",
        "journal = Kafka, count",
        "journal = Kafka, hash",
    }
    assert report.kafka_count == 0


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE inbox SET state = 'received', finished_at = NULL", {"inbox = handled + dead"}),
        ("DELETE FROM journal WHERE version = 2", {"journal versions contiguous"}),
        ("UPDATE journal SET version = 7 WHERE version = 3", {"journal versions contiguous"}),
        ("UPDATE inbox SET version = version + 1", {"inbox, task_states = journal"}),
        ("UPDATE journal SET event_id = gen_random_uuid() WHERE version = 3", {"journal = Kafka, count"}),
        (
            "INSERT INTO task_states (task_id, name, state, rank, version, first_seen_at, updated_at)"
            " VALUES ('t', 'demo.fib', 'started', 2, 1, now(), now())",
            {"tasks at an end", "inbox, task_states = journal"},
        ),
    ],
)
def test_damage_is_found(
    db: Database,
    relay: RunningRelay,
    accept: Accept,
    handle: Callable[[], int],
    compare: Check,
    damage: str,
    found: set[str],
) -> None:
    accept("a")
    handle()
    assert wait_until_settled(db, 20)
    relay.stop_event.set()
    with db.transaction() as tx:
        tx.execute(damage)
    assert found <= failures(compare(timeout_s=0.5))


def test_a_broker_that_is_away_is_a_finding(
    db: Database, settings: Settings, accept: Accept, handle: Callable[[], int]
) -> None:
    accept("a")
    handle()
    report = check(db, "127.0.0.1:1", settings.environment, timeout_s=0.5)
    assert not report.ok
    assert "Kafka: connecting" in str(report)
