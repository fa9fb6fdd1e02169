"""The tables of executions, batches and chunks: the only place that changes their state, with its journal rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import accumulate
from uuid import UUID

import msgspec

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.journal.model import redact
from tasks.metrics.model import Chunk, Execution, Piece

log = logging.getLogger(__name__)

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
    parameters = {
        "rows": _text(executions).decode(),
        "batch_id": batch_id,
        "source": source,
        "chunk_rows": chunk_rows,
        "correlation_id": correlation_id,
    }
    return frozenset(row["execution_id"] for row in tx.all(QUERIES.prepared("record"), parameters))


def _text(executions: Sequence[Execution]) -> bytes:
    """The executions as a JSON array, each with ``told``, what the journal tells, where that is not all of it."""
    if not any(map(_is_private, executions)):
        return _ENCODER.encode(executions)
    return b"[" + b",".join(map(_row, executions)) + b"]"


def _is_private(execution: Execution) -> bool:
    # The error's text may quote a prompt or a key: it stays in the row. So do the metadata's secrets.
    return bool(execution.metadata) or execution.error_message is not None


def _row(execution: Execution) -> bytes:
    text = _ENCODER.encode(execution)
    if not _is_private(execution):
        return text
    told = msgspec.structs.replace(execution, metadata=redact(execution.metadata), error_message=None)
    return b'{"told":' + _ENCODER.encode(told) + b"," + text[1:]


def claim(tx: Transaction, lease_s: float, limit: int, most_rows: int) -> list[Chunk]:
    """Locks waiting chunks of small batches, or that a chord has left, oldest first; others' are passed over.

    At most ``limit`` of them, and about ``most_rows`` rows.
    """
    rows = tx.all(QUERIES["claim"], {"lease_s": lease_s, "limit": limit})
    up_to = accumulate((row["rows"] for row in rows), initial=0)
    return [
        Chunk(row["batch_id"], row["chunk"]) for row, before in zip(rows, up_to, strict=False) if before < most_rows
    ]


def mark(tx: Transaction, chunks: Sequence[Chunk]) -> list[Piece]:
    """waiting → applied; returns the rows to add, of those only that were waiting. Add them in this transaction."""
    parameters = {"batch_ids": [chunk.batch_id for chunk in chunks], "chunks": [chunk.number for chunk in chunks]}
    return [Piece(**row) for row in tx.all(QUERIES["mark"], parameters)]


def dispatch(tx: Transaction, limit: int) -> list[list[Chunk]]:
    """Takes batches of several chunks that nobody has sent on their way; returns the chunks of each."""
    return [
        [Chunk(row["id"], number) for number in range(row["chunks"])]
        for row in tx.all(QUERIES["dispatch"], {"limit": limit})
    ]


def left_open(tx: Transaction, lease_s: float) -> list[UUID]:
    """Batches whose chunks are all applied, and whose chord did not come to close them."""
    return [row["id"] for row in tx.all(QUERIES["left_open"], {"lease_s": lease_s})]


def close(tx: Transaction, batch_ids: Sequence[UUID]) -> int:
    """received → closed where no chunk waits; returns how many were closed. Counts the rows that are there."""
    closed = tx.all(QUERIES["close"], {"ids": sorted(set(batch_ids))})
    for row in closed:
        if row["counted"] != row["recorded"]:
            counts = {"recorded": row["recorded"], "counted": row["counted"]}
            log.error("metric-batch-short", extra={"batch_id": str(row["id"]), **counts})
    return len(closed)


def is_waiting(tx: Transaction, grace_s: float, lease_s: float) -> bool:
    """Whether a batch waits of which no worker may have heard."""
    found = tx.one(QUERIES["waiting"], {"grace_s": grace_s, "lease_s": lease_s})
    return bool(found and found["waiting"])


def forget(tx: Transaction, keep_days: int, limit: int) -> int:
    """Deletes the raw rows of up to ``limit`` closed batches past the retention, oldest first; returns how many.

    A batch goes as a whole, by when it was received: as long as its rows are there, a repeat of one is a duplicate.
    """
    batches = tx.all(QUERIES["old_batches"], {"keep_days": keep_days, "limit": limit})
    for row in batches:
        parameters = {"batch_id": row["id"], "first_id": row["first_id"], "last_id": row["last_id"]}
        tx.execute(QUERIES["delete_executions"], parameters)
        tx.execute(QUERIES["delete_points"], parameters)
        tx.execute(QUERIES["delete_batch"], parameters)
    return len(batches)


def forget_streams(tx: Transaction, keep_days: int, limit: int) -> int:
    """Deletes the state of OTLP streams that were silent for longer; returns how many."""
    return tx.execute(QUERIES["delete_streams"], {"keep_days": keep_days, "limit": limit})
