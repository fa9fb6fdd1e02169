"""The tables of OTLP's points and streams: the only place that changes them, with their batches' journal rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.metrics.otlp.deltas import Standing, as_json, from_json
from tasks.metrics.otlp.rows import Row

QUERIES = Queries("tasks.metrics.otlp", "otlp.sql")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def lock_streams(tx: Transaction, starts: Mapping[bytes, int]) -> dict[bytes, Standing]:
    """Locks the streams of these keys, with when they begin; returns where those stand that were told of before."""
    keys = sorted(starts)
    tx.execute(QUERIES["begin_streams"], {"keys": keys, "starts": [starts[key] for key in keys]})
    return {
        bytes(row["stream_key"]): Standing(row["last_ns"], from_json(row["last_point"]))
        for row in tx.all(QUERIES["lock_streams"], {"keys": keys})
        if row["last_point"] is not None
    }


def move_streams(tx: Transaction, standings: Mapping[bytes, Standing]) -> None:
    """Keeps where streams stand that this transaction has locked."""
    keys = sorted(standings)
    tx.execute(
        QUERIES["move_streams"],
        {
            "keys": keys,
            "times": [standings[key].time_ns for key in keys],
            "points": [orjson.dumps(as_json(standings[key].values)).decode() for key in keys],
        },
    )


def record(
    tx: Transaction, batch_id: UUID, rows: Sequence[Row], *, chunk_rows: int, correlation_id: str | None
) -> int:
    """Stores the rows that are not known yet, as one batch; returns how many those are.

    One statement: it may be a transaction of its own. ``rows`` are not empty, their keys differ.
    """
    parameters = {
        "rows": orjson.dumps(list(_told(rows))).decode(),
        "batch_id": batch_id,
        "chunk_rows": chunk_rows,
        "correlation_id": correlation_id,
    }
    found = tx.one(QUERIES.prepared("record_points"), parameters)
    return int(found["recorded"]) if found else 0


def _told(rows: Iterable[Row]) -> Iterable[dict[str, Any]]:
    for row in rows:
        indexes, counts = row.contribution.histogram.arrays()
        yield {
            "key": row.key.hex(),
            "metric": row.metric,
            "kind": row.kind,
            "at": _EPOCH + timedelta(microseconds=row.at_ns // 1000),
            **row.subject._asdict(),
            "count": row.contribution.count,
            "sum": str(row.contribution.total),
            "sum_sq": str(row.contribution.total_sq),
            "input_output": str(row.input_output),
            "histogram": {"indexes": indexes, "counts": counts} if indexes and not row.counts_tokens else None,
        }
