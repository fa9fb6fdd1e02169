"""Rows of runs: begun when their key allows it, and brought from state to state under a guard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.errors import NotFound
from tasks.workflows.states import RUN

QUERIES = Queries("tasks.workflows.store", "runs.sql")
# How long the clock waits before it looks at a run that somebody is at work on.
GRACE_S = 5.0

_EVENTS = {
    "pending": "workflow-submitted",
    "running": "workflow-started",
    "paused": "workflow-paused",
    "succeeded": "workflow-completed",
    "failed": "workflow-failed",
    "timed_out": "workflow-failed",
    "cancelled": "workflow-cancelled",
    "compensating": "workflow-compensating",
    "compensated": "workflow-compensated",
}


@dataclass(frozen=True, slots=True)
class RunRow:
    """What does not change while a run goes on."""

    id: UUID
    definition_id: UUID
    name: str
    definition_version: str | None
    priority: int
    tags: tuple[str, ...]
    metadata: Mapping[str, Any]
    input: Any
    correlation_id: str
    submitted_by: str
    concurrency_key: str | None
    max_parallel: int | None
    parent_run_id: UUID | None
    parent_place: int | None
    depth: int
    created_at: datetime
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class Look:
    """A run as it is now."""

    id: UUID
    definition_id: UUID
    name: str
    state: str
    version: int
    priority: int
    concurrency_key: str | None
    open_leaves: int
    parent_run_id: UUID | None
    parent_place: int | None
    overdue: bool
    started_at: datetime | None
    error_code: str | None
    output: Any
    error: str | None


@dataclass(frozen=True, slots=True)
class Changed:
    """A run that was brought into ``state``."""

    id: UUID
    old: str
    state: str
    name: str
    concurrency_key: str | None
    parent_run_id: UUID | None
    parent_place: int | None
    open_leaves: int
    priority: int


def context(tx: Transaction, run_id: UUID) -> RunRow:
    """What does not change of a run. Raises NotFound."""
    row = tx.one(QUERIES.prepared("context"), {"id": run_id})
    if row is None:
        raise NotFound(f"There is no workflow run {run_id}.")
    return row_of(row)


def row_of(columns: Mapping[str, Any]) -> RunRow:
    """What ``context`` reads, as it is known to workers."""
    return RunRow(**{**columns, "tags": tuple(columns["tags"])})


def look(tx: Transaction, run_id: UUID, *, lock: bool = False) -> Look:
    """A run as it is now. Raises NotFound."""
    row = tx.one(QUERIES.prepared("lock" if lock else "look"), {"id": run_id})
    if row is None:
        raise NotFound(f"There is no workflow run {run_id}.")
    return Look(**row)


def change(
    tx: Transaction,
    run_id: UUID,
    state: str,
    *,
    sources: Sequence[str] | None = None,
    leaves: int | None = None,
    output: bytes | None = None,
    error_code: str | None = None,
    error: str | None = None,
    keep_error: bool = False,
    open_leaves: int | None = None,
    timeout_s: float | None = None,
    by: str | None = None,
    reason: str | None = None,
    event: str | None = None,
) -> Changed | None:
    """Brings a run into ``state`` from one that the chart allows (or of ``sources``); None where it is elsewhere.

    ``leaves``: only with so many leaves open. ``timeout_s``: a new deadline. ``open_leaves``: a new count.
    """
    row = tx.one(
        QUERIES.prepared("change"),
        {
            "id": run_id,
            "state": state,
            "from": sorted(sources if sources is not None else RUN.sources(state)),
            "terminal": RUN.is_terminal(state),
            "leaves": leaves,
            "output": None if output is None else output.decode(),
            "error_code": error_code,
            "error": error,
            "keep_error": keep_error,
            "open_leaves": open_leaves,
            "timeout_s": timeout_s,
            "by": by,
            "reason": reason,
            "event": event or _EVENTS[state],
            "grace_s": GRACE_S,
        },
    )
    return None if row is None else Changed(**row)


def may_begin(tx: Transaction, name: str, concurrency_key: str | None, limit: int) -> bool:
    """Whether one more run of this key may go on; until the transaction ends nobody else begins one."""
    if concurrency_key is None:
        return True
    tx.all(QUERIES["lock_concurrency"], {"name": name, "concurrency_key": concurrency_key})
    row = tx.one(QUERIES["under_way"], {"name": name, "concurrency_key": concurrency_key})
    return row is not None and row["count"] < limit


def next_of_key(tx: Transaction, name: str, concurrency_key: str) -> UUID | None:
    """The run that waits for this key and comes next."""
    row = tx.one(QUERIES["next_of_key"], {"name": name, "concurrency_key": concurrency_key})
    return None if row is None else row["id"]
