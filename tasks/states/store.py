"""The table ``task_states``: the only place that changes a mirrored state, each change with its journal row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.states.model import RANKS, Change, Transition, fold

QUERIES = Queries("tasks.states", "states.sql")
AGGREGATE = "task"
STATE_CHANGED = "task-state-changed"


def apply(tx: Transaction, transitions: Sequence[Transition]) -> None:
    """Brings the rows of the transitions' tasks up to date, and writes each transition into the journal.

    The transitions are taken as new and in the order in which they came. Each gets a version of its task; the
    journal says with each what the task's row showed after it.
    """
    if not transitions:
        return
    by_task: dict[str, list[Transition]] = {}
    for transition in transitions:
        by_task.setdefault(transition.task_id, []).append(transition)
    changes = [fold(by_task[task_id]) for task_id in sorted(by_task)]
    shown = {row["task_id"]: _Shown(row, by_task) for row in tx.all(QUERIES["apply"], _columns(changes))}
    append(tx, [shown[transition.task_id].event(transition) for transition in transitions])


def known_events(tx: Transaction, task_ids: Iterable[str]) -> set[UUID]:
    """The ids of all transitions of these tasks that the journal has."""
    return {row["event_id"] for row in tx.all(QUERIES["known_events"], {"task_ids": sorted(set(task_ids))})}


def mark_lost(tx: Transaction, lost_after_s: float, limit: int = 500) -> int:
    """sent, received, started or retried → lost, for tasks without news for that long; returns how many."""
    error = f"no news of this task for {lost_after_s:.0f} s"
    parameters = {"lost_after_s": lost_after_s, "limit": limit, "rank": RANKS["lost"], "error": error}
    rows = tx.all(QUERIES["mark_lost"], parameters)
    append(tx, [_lost(row) for row in rows])
    return len(rows)


def delete_old(tx: Transaction, keep_days: int, limit: int) -> int:
    """Deletes up to ``limit`` rows of tasks that ended before the retention; returns how many."""
    return tx.execute(QUERIES["delete_old"], {"keep_days": keep_days, "limit": limit})


def delete_housekeeping(tx: Transaction, names: Sequence[str], limit: int) -> int:
    """Deletes up to ``limit`` rows of tasks of these names that went well over a day ago; returns how many."""
    return tx.execute(QUERIES["delete_housekeeping"], {"names": list(names), "limit": limit})


class _Shown:
    """Follows what one task's row shows while its transitions go into the journal."""

    def __init__(self, row: dict[str, Any], by_task: dict[str, list[Transition]]) -> None:
        self._version: int = row["version"] - len(by_task[row["task_id"]])
        self._state: str | None = row["state"]
        self._key = (-1, -1) if self._state is None else (row["attempt"], RANKS[self._state])

    def event(self, transition: Transition) -> JournalEvent:
        self._version += 1
        if transition.key > self._key:
            self._key, self._state = transition.key, transition.state
        payload = {
            "task_id": transition.task_id,
            "name": transition.name,
            "state": transition.state,
            "current_state": self._state,
            "attempt": transition.attempt,
            "queue": transition.queue,
            "worker": transition.worker,
            "at": transition.at.isoformat(),
            "parent_id": transition.parent_id,
            "root_id": transition.root_id,
            "error_type": transition.error_type,
            "error": transition.error,
        }
        return JournalEvent(
            aggregate_type=AGGREGATE,
            aggregate_id=transition.task_id,
            version=self._version,
            event_type=STATE_CHANGED,
            payload=payload,
            correlation_id=transition.correlation_id,
            event_id=transition.event_id,
        )


def _lost(row: dict[str, Any]) -> JournalEvent:
    payload = {
        "task_id": row["task_id"],
        "name": row["name"],
        "state": row["state"],
        "current_state": row["state"],
        "attempt": row["attempt"],
        "queue": row["queue"],
        "worker": row["worker"],
        "at": row["finished_at"].isoformat(),
        "parent_id": row["parent_id"],
        "root_id": row["root_id"],
        "error_type": row["error_type"],
        "error": row["error"],
    }
    return JournalEvent(AGGREGATE, row["task_id"], row["version"], STATE_CHANGED, payload, row["correlation_id"])


def _columns(changes: Sequence[Change]) -> dict[str, list[Any]]:
    return {
        "task_ids": [change.latest.task_id for change in changes],
        "names": [change.latest.name for change in changes],
        "states": [change.latest.state for change in changes],
        "ranks": [RANKS[change.latest.state] for change in changes],
        "attempts": [change.latest.attempt for change in changes],
        "deliveries": [change.deliveries for change in changes],
        "transitions": [change.transitions for change in changes],
        "queues": [change.queue for change in changes],
        "workers": [change.worker for change in changes],
        "correlation_ids": [change.correlation_id for change in changes],
        "parent_ids": [change.parent_id for change in changes],
        "root_ids": [change.root_id for change in changes],
        "error_types": [change.latest.error_type for change in changes],
        "errors": [change.latest.error for change in changes],
        "first_seen_ats": [change.first_seen_at for change in changes],
        "started_ats": [change.started_at for change in changes],
        "finished_ats": [change.finished_at for change in changes],
        "due_ats": [change.due_at for change in changes],
    }
