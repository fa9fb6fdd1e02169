"""The clock: what it fails at stops neither the clock nor anything else, and is not tried without a pause."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from celery import Celery

from tasks.db.pool import Database
from tasks.ids import new_id
from tasks.queue.app import create_celery
from tasks.settings import Settings
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.submitting import Submission, submit
from tasks.workflows.work.canvas import Sender
from tasks.workflows.work.clock import Clock
from tasks.workflows.work.following import Following

NAP = {"key": "nap", "kind": "wait", "with": {"seconds": 1}}
FIB = {"kind": "task", "with": {"task": "demo.fib"}}
STEPS: dict[str, list[dict[str, Any]]] = {
    "ready": [NAP],
    "retrying": [NAP],
    "running": [NAP],
    "waiting": [NAP],
    "map": [{"key": "m", "kind": "map", "with": {"over": [1, 2], "step": FIB}}],
}
_DUE = "due_at = now() - interval '1 second'"
SETTING = {
    "ready": f"UPDATE steps SET {_DUE}",
    "retrying": f"UPDATE steps SET state = 'retrying', {_DUE}",
    "running": f"UPDATE steps SET state = 'running', attempt = 1, lease_token = gen_random_uuid(), {_DUE}",
    "waiting": f"UPDATE steps SET state = 'waiting', attempt = 1, waits_for = 'time', {_DUE}",
    "map": "UPDATE steps SET state = 'waiting', attempt = 1, waits_for = 'items', items_open = 2, due_at = NULL",
}
UNREADABLE = """
INSERT INTO definitions (id, name, version, content_hash, definition, step_count)
VALUES (%(id)s, 'gone', NULL, 'h-' || %(id)s, '{"of": "another time"}', 1)
"""


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    made = create_celery(settings, role="test")
    yield made
    made.bridge.close()


@pytest.fixture
def clock(app: Celery) -> Clock:
    return Clock(app.bridge, Following(app.bridge, Sender(app), lambda: None))


def put(db: Database, settings: Settings, what: str, *, poison: bool = False) -> UUID:
    """A run whose step is in the state that ``what`` says, and due; ``poison``: nobody can read its definition."""
    definition = parse_definition({"name": "clocked", "steps": STEPS[what]})
    with db.transaction() as tx:
        run_id = submit(tx, Submission(definition=definition), settings).run_id
        tx.execute(SETTING[what] + " WHERE run_id = %(id)s", {"id": run_id})
        tx.execute("UPDATE runs SET due_at = NULL WHERE id = %(id)s", {"id": run_id})
        if what == "map":
            tx.execute(
                "INSERT INTO step_items (run_id, place, index, item, due_at)"
                " SELECT %(id)s, 0, n, '1', now() FROM generate_series(0, 1) AS n",
                {"id": run_id},
            )
        if poison:
            unreadable = new_id()
            tx.execute(UNREADABLE, {"id": unreadable})
            tx.execute("UPDATE runs SET definition_id = %(d)s WHERE id = %(id)s", {"d": unreadable, "id": run_id})
    return run_id


def due_runs(db: Database, run_ids: Sequence[UUID], *, overdue: bool = False) -> None:
    with db.transaction() as tx:
        deadline = ", deadline_at = now() - interval '1 second'" if overdue else ""
        tx.execute(f"UPDATE runs SET {_DUE}{deadline} WHERE id = ANY(%(ids)s::uuid[])", {"ids": list(run_ids)})


def due(db: Database) -> int:
    """How many rows the clock would look at now."""
    with db.transaction() as tx:
        [row] = tx.all(
            "SELECT (SELECT count(*) FROM steps WHERE due_at <= now()) + (SELECT count(*) FROM runs"
            " WHERE due_at <= now()) + (SELECT count(*) FROM step_items WHERE due_at <= now()) AS count"
        )
    return int(row["count"])


def state(db: Database, run_id: UUID) -> str:
    with db.transaction() as tx:
        [row] = tx.all("SELECT state FROM steps WHERE run_id = %(id)s", {"id": run_id})
    return str(row["state"])


def sent(app: Celery) -> str:
    """What waits for workers."""
    client = app.bridge.redis()
    return str([client.lrange(key, 0, -1) for key in client.scan_iter("workflows*")])


@pytest.mark.parametrize(
    ("what", "becomes"),
    [("ready", "ready"), ("retrying", "ready"), ("running", "ready"), ("waiting", "succeeded"), ("map", "waiting")],
)
def test_a_step_that_it_fails_at_stops_no_other(
    db: Database,
    settings: Settings,
    app: Celery,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    what: str,
    becomes: str,
) -> None:
    poison = put(db, settings, what, poison=True)
    good = put(db, settings, what)
    with caplog.at_level(logging.ERROR):
        assert clock.tick() is False
    assert state(db, good) == becomes
    assert (str(good) in sent(app)) == (what != "waiting")
    assert str(poison) in {getattr(record, "run_id", None) for record in caplog.records}
    assert due(db) == 0, "the poison is looked at again at once"
    wait_s = clock.wait_s()
    assert wait_s is None or wait_s > 1


def test_a_run_that_it_fails_at_stops_no_other(db: Database, settings: Settings, clock: Clock) -> None:
    runs = [put(db, settings, "ready", poison=poison) for poison in (True, False, True)]
    due_runs(db, runs)
    late = put(db, settings, "ready")
    due_runs(db, [late], overdue=True)
    clock.tick()
    assert state(db, late) == "cancelled"
    assert due(db) == 0


def test_a_row_that_can_not_be_written_stops_no_other(db: Database, settings: Settings, clock: Clock) -> None:
    poison, good = (put(db, settings, "retrying") for _ in range(2))
    ready = [put(db, settings, "ready") for _ in range(2)]
    orphans = [put(db, settings, "ready") for _ in range(2)]
    parent = put(db, settings, "waiting")
    with db.transaction() as tx:
        tx.execute("UPDATE steps SET due_at = NULL WHERE run_id = ANY(%(ids)s::uuid[])", {"ids": [*orphans, parent]})
        tx.execute(
            "UPDATE runs SET parent_run_id = %(parent)s, parent_place = 0 WHERE id = ANY(%(ids)s::uuid[])",
            {"ids": orphans, "parent": parent},
        )
        tx.execute("UPDATE runs SET state = 'cancelled', finished_at = now() WHERE id = %(id)s", {"id": parent})
        tx.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
            "CREATE TRIGGER refuse BEFORE UPDATE ON steps FOR EACH ROW WHEN (OLD.run_id IN (%(a)s, %(b)s, %(c)s))"
            " EXECUTE FUNCTION refuse()",
            {"a": poison, "b": ready[0], "c": orphans[0]},
        )
    clock.tick()
    assert state(db, good) == "ready"
    assert state(db, orphans[1]) == "cancelled"
    assert due(db) == 2, "all but the two that can't be put off is done"
    assert clock.tick() is False
    wait_s = clock.wait_s()
    assert wait_s is not None
    assert wait_s >= 0.1, "no loop without a pause"


def test_a_row_that_somebody_holds_locked_stops_no_other(db: Database, settings: Settings, app: Celery) -> None:
    # As a worker does that was stopped in the middle of its transaction.
    app.bridge.db = Database(dataclasses.replace(settings, db_lock_timeout_ms=100), "impatient")
    run_ids = [put(db, settings, what) for what in ("ready", "retrying", "waiting", "running")]
    good = put(db, settings, "retrying")
    clock = Clock(app.bridge, Following(app.bridge, Sender(app), lambda: None))
    with db.transaction() as holder:
        holder.all("SELECT 1 FROM steps WHERE run_id = ANY(%(ids)s::uuid[]) FOR UPDATE", {"ids": run_ids})
        clock.tick()
        assert state(db, good) == "ready"
        assert clock.tick() is False
    assert [state(db, run_id) for run_id in run_ids] == ["ready", "retrying", "waiting", "running"]


def test_the_end_of_a_run_does_not_depend_on_the_next_one_of_its_key(
    db: Database, settings: Settings, clock: Clock
) -> None:
    late, waiting = put(db, settings, "ready"), put(db, settings, "ready", poison=True)
    with db.transaction() as tx:
        tx.execute("UPDATE runs SET concurrency_key = 'k'")
        tx.execute("UPDATE runs SET state = 'pending' WHERE id = %(id)s", {"id": waiting})
    due_runs(db, [late], overdue=True)
    clock.tick()
    with db.transaction() as tx:
        states = {row["id"]: row["state"] for row in tx.all("SELECT id, state FROM runs")}
    assert states == {late: "timed_out", waiting: "pending"}


def test_the_last_attempt_of_a_worker_that_was_only_late_goes_on(
    db: Database, settings: Settings, app: Celery, clock: Clock
) -> None:
    run_ids = [put(db, settings, "running") for _ in range(2)]
    with db.transaction() as tx:
        tx.execute("UPDATE steps SET attempt = 9, due_at = due_at + place * interval '1 ms'")
        # While the clock gives up one of the two, the worker of the other renews its lease.
        tx.execute(
            "CREATE FUNCTION renew() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " UPDATE steps SET due_at = now() + interval '9 s' WHERE run_id <> NEW.run_id AND state = 'running';"
            " RETURN NEW; END $$;"
            "CREATE TRIGGER renew AFTER UPDATE ON steps FOR EACH ROW WHEN (NEW.state = 'failed')"
            " EXECUTE FUNCTION renew()"
        )
    clock.tick()
    assert sorted(state(db, run_id) for run_id in run_ids) == ["failed", "running"]
