"""The mirrored rows: guards, versions and journal rows, on a real PostgreSQL."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.errors import BridgeError, NotFound, ValidationFailed
from tasks.ids import new_id
from tasks.states import store
from tasks.states.model import STATES, Transition
from tasks.states.service import TaskStateService

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def made(state: str, task_id: str = "t", attempt: int = 0, second: int = 0, **more: Any) -> Transition:
    name = more.pop("name", "some.task")
    return Transition(new_id(), task_id, name, state, attempt, EPOCH + timedelta(seconds=second), **more)


def apply(db: Database, *transitions: Transition) -> None:
    with db.transaction() as tx:
        store.apply(tx, transitions)


@pytest.fixture
def states(db: Database) -> TaskStateService:
    return TaskStateService(db)


def test_a_tasks_way_in_one_batch(db: Database, states: TaskStateService) -> None:
    way = [
        made("sent", second=0, queue="hooks", correlation_id="c", root_id="t"),
        made("received", second=1, queue="hooks", worker="w"),
        made("started", second=2, worker="w"),
        made("failed", second=5, worker="w", error_type="ValueError", error="no"),
    ]
    apply(db, *way)
    task = states.get("t")
    assert {key: task[key] for key in ("state", "attempt", "deliveries", "version", "queue", "worker")} == {
        "state": "failed",
        "attempt": 0,
        "deliveries": 1,
        "version": 4,
        "queue": "hooks",
        "worker": "w",
    }
    assert (task["correlation_id"], task["root_id"], task["error_type"], task["error"]) == (
        "c",
        "t",
        "ValueError",
        "no",
    )
    assert task["first_seen_at"] == EPOCH
    assert task["started_at"] == EPOCH + timedelta(seconds=2)
    assert task["finished_at"] == EPOCH + timedelta(seconds=5)
    history = task["history"]
    assert [row["version"] for row in history] == [1, 2, 3, 4]
    assert [row["payload"]["state"] for row in history] == ["sent", "received", "started", "failed"]
    assert [row["payload"]["current_state"] for row in history] == ["sent", "received", "started", "failed"]
    assert [row["event_id"] for row in history] == [transition.event_id for transition in way]
    assert {row["event_type"] for row in history} == {"task-state-changed"}
    assert [row["correlation_id"] for row in history] == ["c", None, None, None]


def test_late_news_get_their_row_in_the_journal_and_change_nothing(db: Database, states: TaskStateService) -> None:
    apply(db, made("sent"), made("started", second=2))
    apply(db, made("succeeded", second=3))
    apply(db, made("received", second=1, worker="w"))
    task = states.get("t")
    assert (task["state"], task["version"], task["deliveries"]) == ("succeeded", 4, 1)
    assert task["worker"] == "w"
    last = task["history"][-1]["payload"]
    assert (last["state"], last["current_state"]) == ("received", "succeeded")


def test_any_order_in_any_batches_ends_alike(db: Database, states: TaskStateService) -> None:
    way = [made(state, attempt=attempt, second=i) for attempt in (0, 1) for i, state in enumerate(STATES)]
    shuffler = random.Random(7)
    for number in range(20):
        task_id = f"task-{number}"
        copies = [made(t.state, task_id, t.attempt, 0) for t in way]
        shuffler.shuffle(copies)
        while copies:
            cut = shuffler.randint(1, 5)
            apply(db, *copies[:cut])
            copies = copies[cut:]
        task = states.get(task_id)
        assert (task["state"], task["attempt"], task["version"]) == ("succeeded", 1, len(way))
        assert task["finished_at"] is not None
        assert sorted(row["version"] for row in task["history"]) == list(range(1, len(way) + 1))


def test_a_new_attempt_reopens_the_task(db: Database, states: TaskStateService) -> None:
    apply(db, made("started"), made("sent", attempt=1), made("retried", error_type="E", error="later"))
    task = states.get("t")
    assert (task["state"], task["attempt"], task["finished_at"], task["error"]) == ("sent", 1, None, None)


def test_silent_tasks_are_lost_and_may_come_back(db: Database, states: TaskStateService) -> None:
    apply(db, made("sent", "silent"), made("started", "running"), made("succeeded", "done"))
    apply(db, made("sent", "later", due_at=datetime.now(UTC) + timedelta(hours=1)))
    with db.transaction() as tx:
        assert store.mark_lost(tx, lost_after_s=60) == 0
        tx.execute("UPDATE task_states SET updated_at = now() - interval '2 minutes'")
        assert store.mark_lost(tx, lost_after_s=60) == 2
    assert {task["task_id"] for task in states.list(state="lost").items} == {"silent", "running"}
    lost = states.get("silent")
    assert (lost["state"], lost["version"]) == ("lost", 2)
    assert lost["history"][-1]["payload"]["state"] == "lost"
    apply(db, made("succeeded", "running", second=9))
    assert states.get("running")["state"] == "succeeded"
    apply(db, made("received", "silent", second=9))
    assert states.get("silent")["state"] == "lost"


def test_the_sweeper_passes_over_rows_that_are_being_written(db: Database) -> None:
    apply(db, made("sent", "a"), made("sent", "b"))
    with db.transaction() as tx:
        tx.execute("UPDATE task_states SET updated_at = now() - interval '1 hour'")
    with db.transaction() as writing:
        store.apply(writing, [made("received", "a")])
        with db.transaction() as tx:
            assert store.mark_lost(tx, lost_after_s=60) == 1


def test_writers_and_sweepers_at_once_do_not_deadlock(db: Database, states: TaskStateService) -> None:
    ids = [f"task-{n}" for n in range(40)]
    errors: list[BridgeError] = []

    def write(seed: int) -> None:
        shuffler = random.Random(seed)
        for _ in range(15):
            batch = [made(shuffler.choice(STATES[:3]), task_id) for task_id in shuffler.sample(ids, 25)]
            try:
                apply(db, *batch)
                with db.transaction() as tx:
                    store.mark_lost(tx, lost_after_s=0)
            except BridgeError as problem:
                errors.append(problem)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for task_id in ids:
        task = states.get(task_id)
        assert [row["version"] for row in task["history"]] == list(range(1, task["version"] + 1))


def test_lists_by_state_and_name_page_by_page(db: Database, states: TaskStateService) -> None:
    apply(db, *(made("sent", f"t{n:02}", second=n // 3, name="a.b" if n % 2 else "c.d") for n in range(20)))
    seen: list[str] = []
    cursor = None
    while True:
        page = states.list(limit=3, cursor=cursor)
        seen += [task["task_id"] for task in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [f"t{n:02}" for n in reversed(range(20))]
    assert len(states.list(name="a.b").items) == 10
    assert states.list(state="failed").items == []
    with pytest.raises(ValidationFailed):
        states.list(state="odd")
    with pytest.raises(ValidationFailed):
        states.list(limit=0)
    with pytest.raises(ValidationFailed):
        states.list(cursor="nonsense")
    with pytest.raises(NotFound):
        states.get("nobody")


def test_retention(db: Database, states: TaskStateService) -> None:
    apply(db, made("succeeded", "old"), made("started", "open"), made("succeeded", "own", name="hooks.sweep"))
    with db.transaction() as tx:
        tx.execute("UPDATE task_states SET finished_at = now() - interval '3 days' WHERE task_id IN ('old', 'own')")
        assert store.delete_housekeeping(tx, ["hooks.sweep"], 100) == 1
        assert store.delete_old(tx, keep_days=30, limit=100) == 0
        assert store.delete_old(tx, keep_days=1, limit=100) == 1
    assert [task["task_id"] for task in states.list().items] == ["open"]
