"""The tables of executions, batches and chunks: the only place that changes their state, with its journal rows."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.journal.model import redact
from tasks.metrics.model import Execution

QUERIES = Queries("tasks.metrics", "metrics.sql")

_ENCODER = msgspec.json.Encoder()


def record(
    tx: Transaction,
    batch_id: UUID,
    executions: Sequence[Execution],
    *,
    source: str,
    chunk_rows: int,
    correlation_id: str | None,
) -> frozenset[str]:
    """Stores the executions that are not known yet, as one batch; returns the ids of those that are.

    One statement: it may be a transaction of its own. ``executions`` are not empty, their ids differ.
    """
    text = b"[" + b",".join(_row(execution) for execution in executions) + b"]"
    parameters = {
        "rows": text.decode(),
        "batch_id": batch_id,
        "source": source,
        "chunk_rows": chunk_rows,
        "correlation_id": correlation_id,
    }
    return frozenset(row["execution_id"] for row in tx.all(QUERIES.prepared("record"), parameters))


def _row(execution: Execution) -> bytes:
    """The execution as a JSON object, with what the journal tells of it under ``told``."""
    text = _ENCODER.encode(execution)
    told = text
    if execution.metadata or execution.error_message is not None:
        # The error's text may quote a prompt or a key: it stays in the row.
        told = _ENCODER.encode(
            msgspec.structs.replace(execution, metadata=redact(execution.metadata), error_message=None)
        )
    return b'{"told":' + told + b"," + text[1:]
