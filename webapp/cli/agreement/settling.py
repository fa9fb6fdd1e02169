"""Waits until the system has nothing left to do: no unfinished hook, no open task, everything relayed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tasks.db.pool import Database, Transaction
from tasks.db.queries import Queries
from tasks.errors import DatabaseBusy, DatabaseUnavailable

QUERIES = Queries("webapp.cli.agreement", "agreement.sql")
STATEMENT_TIMEOUT_MS = 120_000
_POLL_S = 0.2


@dataclass(frozen=True)
class Mark:
    """A moment of the journal: the greatest id that was there, and when."""

    journal_id: int
    taken_at: datetime


@dataclass(frozen=True)
class Settled:
    """How the wait ended. True where nothing waits; ``waiting_for`` says in words what still does."""

    mark: Mark | None
    waiting_for: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.waiting_for


def wait_until_settled(
    db: Database,
    timeout_s: float,
    *,
    source_prefix: str | None = None,
    tasks: bool = True,
    since: datetime | None = None,
    on_wait: Callable[[tuple[str, ...]], None] | None = None,
) -> Settled:
    """Waits until every hook (of the sources that begin with ``source_prefix``) is at an end, then takes a mark,
    and waits until the relay has passed it and, with ``tasks``, every task first seen from ``since`` up to it is at
    an end.

    The system goes on meanwhile (beat's tasks write journal rows for ever), so "settled" is about that mark.
    A database that is away or busy is waited for. ``on_wait`` is called now and then with what is waited for.
    """
    deadline = time.monotonic() + timeout_s
    mark: Mark | None = None
    while True:
        try:
            with db.transaction(statement_timeout_ms=STATEMENT_TIMEOUT_MS) as tx:
                waiting = _unfinished(tx, source_prefix)
                if not waiting:
                    mark = mark or take_mark(tx)
                    waiting = (*(_open_tasks(tx, since, mark) if tasks else ()), *_not_relayed(tx, mark))
        except (DatabaseUnavailable, DatabaseBusy) as problem:
            waiting = (problem.detail,)
        if not waiting or time.monotonic() >= deadline:
            return Settled(mark, waiting)
        if on_wait is not None:
            on_wait(waiting)
        time.sleep(_POLL_S)


def take_mark(tx: Transaction) -> Mark:
    """The journal's end as it is now."""
    row = tx.one(QUERIES["mark"]) or {}
    return Mark(row["journal_id"], row["taken_at"])


def tasks_in_words(tx: Transaction, since: datetime | None, until: datetime) -> str:
    """The tasks of the window that have no end, such as ``2 hooks.handle started``; empty where there is none."""
    rows = tx.all(QUERIES["open_tasks"], {"since": since, "until": until})
    return ", ".join(f"{row['count']} {row['name']} {row['state']}" for row in rows)


def relay_position(tx: Transaction) -> int:
    """How far in the journal the relay to Kafka is."""
    row = tx.one(QUERIES["relay_position"])
    return int(row["position"]) if row else 0


def _unfinished(tx: Transaction, source_prefix: str | None) -> tuple[str, ...]:
    row = tx.one(QUERIES["unfinished_hooks"], {"prefix": source_prefix}) or {"count": 0}
    return (f"{row['count']} unfinished hooks",) if row["count"] else ()


def _open_tasks(tx: Transaction, since: datetime | None, mark: Mark) -> tuple[str, ...]:
    words = tasks_in_words(tx, since, mark.taken_at)
    return (f"open tasks: {words}",) if words else ()


def _not_relayed(tx: Transaction, mark: Mark) -> tuple[str, ...]:
    behind = mark.journal_id - relay_position(tx)
    return (f"{behind} journal ids to relay",) if behind > 0 else ()
