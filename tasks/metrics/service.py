"""What callers may do with model metrics: record executions durably. The rollups follow by ``tasks.metrics.jobs``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from tasks import correlation
from tasks.db.pool import Database
from tasks.errors import FieldError, NotFound, ValidationFailed
from tasks.ids import new_id
from tasks.metrics import store
from tasks.metrics.model import MAX_BATCH, Execution, Recorded
from tasks.settings import Settings


class MetricsService:
    """The metrics capability behind HTTP, the command line, and the lab.

    ``hint`` tells workers that a batch waits; it is called after the commit, may fail, and never decides anything.
    """

    def __init__(self, db: Database, settings: Settings, hint: Callable[[], object]) -> None:
        self._db = db
        self._chunk_rows = settings.metrics_chunk_rows
        self._hint = hint

    def record(self, executions: Sequence[Execution], *, source: str = "service") -> Recorded:
        """Makes executions durable as one batch, and tells them to Kafka: when this returns, it is committed.

        An ``execution_id`` that is known, from whatever batch or time, is a duplicate: what was told first counts.
        The rollups hold them soon after.

        Raises:
            ValidationFailed: more than 10,000 executions.
            DatabaseUnavailable, DatabaseBusy: nothing is known to be stored; the caller should try again.
        """
        if len(executions) > MAX_BATCH:
            detail = f"must hold at most {MAX_BATCH} executions, not {len(executions)}"
            raise ValidationFailed("The batch is too large.", errors=[FieldError("/executions", detail)])
        first_of_each = {execution.execution_id: execution for execution in reversed(executions)}
        if not first_of_each:
            return Recorded(None, frozenset())
        batch_id = new_id()
        with self._db.autocommit() as tx:
            duplicates = store.record(
                tx,
                batch_id,
                list(first_of_each.values()),
                source=source,
                chunk_rows=self._chunk_rows,
                correlation_id=correlation.current(),
            )
        if len(duplicates) == len(first_of_each):
            return Recorded(None, duplicates)
        self._hint()
        return Recorded(batch_id, duplicates)

    def batch(self, batch_id: UUID) -> dict[str, Any]:
        """How far a batch is, with ``chunks_applied``. Raises NotFound."""
        with self._db.transaction() as tx:
            row = tx.one(store.QUERIES["get_batch"], {"id": batch_id})
        if row is None:
            raise NotFound(f"There is no batch {batch_id}.")
        return row

    def backlog(self) -> dict[str, int]:
        """How many ``chunks``, and ``rows`` in them, the rollups do not hold yet."""
        with self._db.transaction() as tx:
            return tx.one(store.QUERIES["backlog"]) or {"chunks": 0, "rows": 0}
