"""The tables ``schedules`` and ``schedule_ticks``: the only place that changes a schedule, with its journal row.

Every function works in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from tasks import correlation
from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.workflows.definition.model import PRIORITY
from tasks.workflows.schedules.model import Schedule

QUERIES = Queries("tasks.workflows.schedules", "schedules.sql")
AGGREGATE = "schedule"
CHANGED = "configuration-changed"
TICKED = "schedule-ticked"
_DETAIL_LIMIT = 500

Row = dict[str, Any]


class TickLost(Exception):
    """A tick was claimed elsewhere: what was begun for it must be undone."""


@dataclass(frozen=True)
class Tick:
    """What became of one tick, or of the ``missed`` ones up to it. ``priority``: of its run."""

    schedule_id: UUID
    tick: datetime
    outcome: str
    run_id: UUID | None = None
    detail: str | None = None
    manual: bool = False
    priority: int = PRIORITY

    def row(self) -> Row:
        """The values of its columns."""
        detail = None if self.detail is None else self.detail.replace("\x00", "")[:_DETAIL_LIMIT]
        return {
            "schedule_id": self.schedule_id,
            "tick": self.tick,
            "manual": self.manual,
            "outcome": self.outcome,
            "run_id": self.run_id,
            "detail": detail,
        }


@dataclass(frozen=True)
class Step:
    """A schedule that goes on from the tick it was claimed at; ``next_tick`` None ends it."""

    schedule: Schedule
    ticks: Sequence[Tick]
    last_tick: datetime
    next_tick: datetime | None

    def row(self) -> Row:
        """What ``move_on`` takes."""
        runs = [tick.run_id for tick in self.ticks if tick.run_id is not None]
        return {
            "id": self.schedule.id,
            "claimed_tick": self.schedule.next_tick,
            "next_tick": self.next_tick,
            "due_at": None if self.next_tick is None else self.schedule.due_at(self.next_tick),
            "last_tick": self.last_tick,
            "last_run_id": runs[-1] if runs else None,
        }


def insert(tx: Transaction, row: Mapping[str, Any]) -> Row | None:
    """Makes a schedule; None where the name is taken."""
    made = tx.one(QUERIES["insert"], row)
    if made is not None:
        append(tx, [_changed(made, "created", made["created_by"])])
    return made


def lock(tx: Transaction, which: UUID | str) -> Row | None:
    """A schedule by id or name, kept from others until the transaction ends; with the database's ``now``."""
    return tx.one(QUERIES["lock"], _which(which))


def update(tx: Transaction, row: Mapping[str, Any], action: str, actor: str) -> Row:
    """Writes all columns of a locked schedule; ``action`` says what for."""
    changed = tx.one(QUERIES["update"], row)
    if changed is None:
        raise TickLost
    append(tx, [_changed(changed, action, actor)])
    return changed


def delete(tx: Transaction, schedule_id: UUID, actor: str) -> None:
    """Removes a locked schedule. Its runs stay."""
    gone = tx.one(QUERIES["delete"], {"id": schedule_id})
    if gone is not None:
        append(tx, [_changed(gone, "removed", actor)])


def get(tx: Transaction, which: UUID | str) -> Row | None:
    """A schedule by id or name."""
    return tx.one(QUERIES["get"], _which(which))


def recent_ticks(tx: Transaction, schedule_id: UUID, limit: int) -> list[Row]:
    """What became of its last ticks, newest first, with the state of their runs."""
    return tx.all(QUERIES["recent_ticks"], {"id": schedule_id, "limit": limit})


def claim_due(tx: Transaction, limit: int) -> tuple[list[Schedule], datetime | None]:
    """Schedules whose tick has come, kept from other beats until the transaction ends; and the database's time."""
    rows = tx.all(QUERIES.prepared("claim_due"), {"limit": limit})
    return [Schedule.of_row(row) for row in rows], max((row["now"] for row in rows), default=None)


def move_on(tx: Transaction, steps: Sequence[Step]) -> None:
    """Records the ticks and brings each schedule to its next one.

    Raises:
        TickLost: one of them is no longer at the tick it was claimed at; the transaction must roll back.
    """
    rows = orjson.dumps([step.row() for step in steps]).decode()
    versions = {row["id"]: row["version"] for row in tx.all(QUERIES["move_on"], {"rows": rows})}
    if len(versions) != len(steps):
        raise TickLost
    _record(tx, [tick for step in steps for tick in step.ticks])
    append(tx, [_ticked(step, versions[step.schedule.id]) for step in steps])


def start_by_hand(tx: Transaction, name: str, tick: Tick) -> None:
    """Records a run that somebody began beside the clock."""
    row = tx.one(QUERIES["started_by_hand"], {"id": tick.schedule_id, "run_id": tick.run_id})
    if row is None:
        raise TickLost
    _record(tx, [tick])
    append(tx, [_told(tick.schedule_id, row["version"], name, [tick], None)])


def next_due_in_s(tx: Transaction) -> float | None:
    """Seconds until the next tick of any schedule; None without one."""
    row = tx.one(QUERIES.prepared("next_due"))
    return None if row is None else row["due_in_s"]


def delete_old_ticks(tx: Transaction, keep_days: int, limit: int) -> int:
    """Forgets what became of old ticks; returns how many."""
    return tx.execute(QUERIES["delete_old_ticks"], {"keep_days": keep_days, "limit": limit})


def _record(tx: Transaction, ticks: Sequence[Tick]) -> None:
    if ticks:
        tx.execute(QUERIES["record_ticks"], {"rows": orjson.dumps([tick.row() for tick in ticks]).decode()})


def _which(which: UUID | str) -> Row:
    return {
        "id": which if isinstance(which, UUID) else None,
        "name": None if isinstance(which, UUID) else which,
    }


def _changed(row: Mapping[str, Any], action: str, actor: str) -> JournalEvent:
    payload = {
        "setting": "schedule",
        "action": action,
        "schedule_id": str(row["id"]),
        "name": row["name"],
        "state": row.get("state"),
        "workflow": row.get("workflow"),
        "next_tick": row.get("next_tick"),
        "by": actor,
    }
    return JournalEvent(
        AGGREGATE, str(row["id"]), row["version"], CHANGED, payload, correlation_id=correlation.current()
    )


def _ticked(step: Step, version: int) -> JournalEvent:
    return _told(step.schedule.id, version, step.schedule.spec.name, step.ticks, step.next_tick)


def _told(
    schedule_id: UUID, version: int, name: str, ticks: Sequence[Tick], next_tick: datetime | None
) -> JournalEvent:
    told = [
        {
            "tick": tick.tick,
            "outcome": tick.outcome,
            "workflow_id": None if tick.run_id is None else str(tick.run_id),
            "manual": tick.manual,
            "detail": tick.detail,
        }
        for tick in ticks
    ]
    payload = {"schedule_id": str(schedule_id), "name": name, "ticks": told, "next_tick": next_tick}
    return JournalEvent(AGGREGATE, str(schedule_id), version, TICKED, payload)
