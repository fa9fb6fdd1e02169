"""Builds rollups anew from the raw rows, day by day, beside whatever is being recorded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from tasks.db.pool import Database
from tasks.errors import FieldError, ValidationFailed
from tasks.metrics import rollups
from tasks.settings import Settings

_DAY = timedelta(days=1)
_DAY_TIMEOUT_MS = 3_600_000
_LOCK_TIMEOUT_MS = 60_000


class RebuiltDay(NamedTuple):
    """A day (UTC) that was built anew, from so many raw rows."""

    day: date
    rows: int


class Rebuilder:
    """Replaces the rollups of whole days by what the raw rows say. Chunks wait meanwhile; recording does not."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._keep_days = settings.retention_executions_days

    def rebuild(self, first: date, last: date) -> Iterator[RebuiltDay]:
        """Builds the days from ``first`` to ``last``, both included, each in a transaction of its own.

        Raises:
            ValidationFailed: the span is not one, or begins where raw rows may be gone already.
            DatabaseUnavailable, DatabaseBusy: the day at hand is as it was; those before it are done.
        """
        self._check(first, last)
        for number in range((last - first).days + 1):
            day = first + number * _DAY
            since = datetime(day.year, day.month, day.day, tzinfo=UTC)
            with self._db.transaction(statement_timeout_ms=_DAY_TIMEOUT_MS) as tx:
                tx.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")
                rollups.exclude(tx)
                rows = rollups.rebuild(tx, since, since + _DAY)
            yield RebuiltDay(day, rows)

    def _check(self, first: date, last: date) -> None:
        # Raw rows go by when they were received, which is not before they began: from this day on all are there.
        earliest = (datetime.now(UTC) - timedelta(days=self._keep_days) + _DAY).date()
        errors = []
        if last < first:
            errors.append(FieldError("/to", "is before the first day"))
        if first < earliest:
            errors.append(
                FieldError("/from", f"must not be before {earliest}: raw rows are kept for {self._keep_days} days")
            )
        if errors:
            raise ValidationFailed("These days can't be rebuilt.", errors=errors)
