"""Writes and reads journal rows: the only place that touches the table ``journal``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.journal.model import JournalEvent, redacted_text

QUERIES = Queries("tasks.journal", "journal.sql")


def append(tx: Transaction, events: Sequence[JournalEvent]) -> list[int]:
    """Adds ``events`` in their order, in the caller's transaction, and returns their ids.

    Call it after the aggregates' rows are locked or inserted: ids are taken here, and id order is the order in
    which consumers see the changes of one aggregate. Payloads are redacted.
    """
    if not events:
        return []
    text = orjson.dumps([_row(event) for event in events]).decode()
    return [row["id"] for row in tx.all(QUERIES.prepared("append"), {"rows": text})]


def of_aggregate(tx: Transaction, aggregate_type: str, aggregate_id: str, limit: int = 1000) -> list[dict[str, Any]]:
    """What happened to one aggregate, oldest first, at most ``limit`` rows."""
    return tx.all(
        QUERIES["of_aggregate"],
        {"aggregate_type": aggregate_type, "aggregate_id": aggregate_id, "limit": limit},
    )


def make_partitions(tx: Transaction, days: int) -> list[str]:
    """Makes the partitions of today and of ``days`` days ahead where they are missing; returns their names."""
    return [row["partition"] for row in tx.all(QUERIES["make_partitions"], {"days": days})]


def drop_partitions(tx: Transaction, keep_days: int) -> list[str]:
    """Drops whole days older than ``keep_days`` that every sink has passed; returns their names, oldest first.

    Stops at the first day that a sink still needs.
    """
    slowest = tx.one(QUERIES["slowest_sink"])
    dropped = []
    for row in tx.all(QUERIES["old_partitions"], {"keep_days": keep_days}):
        partition = row["partition"]
        last = tx.one(f'SELECT max(id) AS id FROM "{partition}"')  # noqa: S608 - a name from pg_class
        if slowest is not None and last is not None and (last["id"] or 0) > slowest["position"]:
            break
        tx.execute(f'DROP TABLE "{partition}"')
        dropped.append(partition)
    return dropped


def _row(event: JournalEvent) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "aggregate_type": event.aggregate_type,
        "aggregate_id": event.aggregate_id,
        "version": event.version,
        "event_type": event.event_type,
        "payload": orjson.Fragment(redacted_text(event.payload)),
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "partition_key": event.partition_key,
    }
