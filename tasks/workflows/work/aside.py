"""Rows that the clock failed at are set aside for a while, so that none of them stops another, or the clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tasks.db.pool import Database, Transaction
from tasks.db.queries import Queries
from tasks.errors import DatabaseBusy, DatabaseUnavailable

log = logging.getLogger(__name__)

QUERIES = Queries("tasks.workflows.store", "aside.sql")
# How long a row is left alone that the clock failed at, and one that somebody else holds locked.
_AFTER_FAILURE_S = 60.0
AFTER_LOCK_S = 5.0


@dataclass(frozen=True, slots=True)
class Which:
    """A row: of a run, of one of its steps, or of an item of a map."""

    run_id: UUID
    place: int | None = None
    index: int | None = None

    @classmethod
    def step(cls, row: Mapping[str, Any]) -> Which:
        """The step of a row with ``run_id`` and ``place``."""
        return cls(row["run_id"], row["place"])

    @classmethod
    def item(cls, row: Mapping[str, Any]) -> Which:
        """The item of a row with ``run_id``, ``place`` and ``index``."""
        return cls(row["run_id"], row["place"], row["index"])


class Aside:
    """What one clock does not look at for now.

    The rows' ``due_at`` is put off, so that no other clock looks at them either. One that can't be written, or that
    is locked, is remembered here for a short while.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._until: dict[Which, float] = {}

    def holds(self, which: Which) -> bool:
        """Whether the row is to be left alone."""
        return self._until.get(which, 0.0) > time.monotonic()

    @contextmanager
    def guard(self, *rows: Which, **ids: object) -> Iterator[None]:
        """Around what is done about these rows: where it fails, that is logged with ``ids``, and they are set aside.

        Raises:
            DatabaseUnavailable: no row is to blame for that.
        """
        told = {name: str(value) for name, value in ids.items()}
        try:
            yield
        except DatabaseUnavailable:
            raise
        except DatabaseBusy:
            # Somebody else is at work on it, or was stopped in the middle of that.
            log.warning("clock-found-it-locked", extra=told)
            self.put(rows, AFTER_LOCK_S)
        except Exception:
            log.exception("clock-failed", extra=told)
            self.put(rows, _AFTER_FAILURE_S)

    def put(self, rows: Sequence[Which], delay_s: float) -> None:
        """Sets these rows aside, those that are due. Raises DatabaseUnavailable."""
        left = set(rows)
        try:
            with self._db.transaction() as tx:
                left -= _put_off(tx, rows, delay_s)
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("clock-failed-again", extra={"rows": len(rows)})
        now = time.monotonic()
        self._until = {known: until for known, until in self._until.items() if until > now}
        self._until.update(dict.fromkeys(left, now + AFTER_LOCK_S))


def _put_off(tx: Transaction, rows: Sequence[Which], delay_s: float) -> set[Which]:
    items = [row for row in rows if row.index is not None]
    steps = [row for row in rows if row.place is not None and row.index is None]
    runs = [row for row in rows if row.place is None]
    done = set()
    for name, found in (("items", items), ("steps", steps), ("runs", runs)):
        if found:
            parameters = {
                "run_ids": [row.run_id for row in found],
                "places": [row.place for row in found],
                "indexes": [row.index for row in found],
                "delay_s": delay_s,
            }
            done |= {Which(**row) for row in tx.all(QUERIES[name], parameters)}
    return done
