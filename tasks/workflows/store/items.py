"""Rows of a map's items: claimed many at a time, each with an end of its own; the step counts those that are open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.workflows.store.steps import ERROR_LIMIT, GRACE_S

QUERIES = Queries("tasks.workflows.store", "items.sql")
Ranges = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    """An item that this worker holds; ``attempt`` counts from 1."""

    index: int
    item: Any
    attempt: int


@dataclass(frozen=True, slots=True)
class ItemEnd:
    """How an attempt at an item ended: ``succeeded failed retrying``, or ``ready`` where it does not count."""

    index: int
    state: str
    output: bytes | None = None
    error_code: str | None = None
    error: str | None = None
    delay_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How many items were still held and have ended so; and how many of the map are open then, None where that did
    not change: none has come to its end, or the map waits for them no more."""

    count: int
    open: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Of a map's items: how many are open, the first that failed and why, and what the outputs take."""

    open: int
    first_failed: int | None
    error_code: str | None
    error: str | None
    bytes: int


def begin(tx: Transaction, run_id: UUID, place: int, values: Sequence[Any]) -> int:
    """Writes the items of a map; returns how many are open. Where its run is tried again, those that succeeded before
    are kept, and the others are begun anew."""
    parameters = {"run_id": run_id, "place": place, "items": orjson.dumps(list(values)).decode()}
    if tx.one(QUERIES["any"], parameters) == {"found": True}:
        tx.execute(QUERIES["drop"], parameters)
    return tx.execute(QUERIES["insert"], {**parameters, "grace_s": 4 * GRACE_S})


def claim(
    tx: Transaction, run_id: UUID, place: int, ranges: Ranges, token: UUID, lease_s: float, limit: int
) -> list[ClaimedItem]:
    """ready → running, the first of these half-open ranges."""
    rows = tx.all(
        QUERIES.prepared("claim"),
        {
            "run_id": run_id,
            "place": place,
            "firsts": [first for first, _ in ranges],
            "ends": [end for _, end in ranges],
            "token": token,
            "lease_s": lease_s,
            "limit": limit,
        },
    )
    return sorted((ClaimedItem(row["index"], row["item"], row["attempt"]) for row in rows), key=lambda one: one.index)


def renew(tx: Transaction, run_id: UUID, place: int, indexes: Sequence[int], token: UUID, lease_s: float) -> int:
    """Holds on for ``lease_s`` more; returns how many of them are still held."""
    parameters = {"run_id": run_id, "place": place, "indexes": list(indexes), "token": token, "lease_s": lease_s}
    return tx.execute(QUERIES["renew"], parameters)


def end(tx: Transaction, run_id: UUID, place: int, ends: Sequence[ItemEnd], token: UUID) -> Ended:
    """running → what came of them, those that are still held."""
    rows = [
        {
            "index": one.index,
            "state": one.state,
            "output": None if one.output is None else orjson.Fragment(one.output),
            "error_code": one.error_code,
            "error": None if one.error is None else one.error[:ERROR_LIMIT],
            "delay_s": one.delay_s,
        }
        for one in ends
    ]
    parameters = {"run_id": run_id, "place": place, "rows": orjson.dumps(rows).decode(), "token": token}
    row = tx.one(QUERIES.prepared("end"), {**parameters, "indexes": [one.index for one in ends]})
    return Ended(0, None) if row is None else Ended(row["count"], row["items_open"])


def open_indexes(tx: Transaction, run_id: UUID, place: int, limit: int) -> list[int]:
    """The items that wait for a worker, ascending."""
    return [row["index"] for row in tx.all(QUERIES["open"], {"run_id": run_id, "place": place, "limit": limit})]


def summary(tx: Transaction, run_id: UUID, place: int) -> Summary:
    """How it stands with a map's items."""
    where = {"run_id": run_id, "place": place}
    counts = tx.one(QUERIES["counts"], where) or {"open": 0, "first_failed": None, "bytes": 0}
    failed = counts["first_failed"]
    error = None if failed is None else tx.one(QUERIES["error_of"], {**where, "index": failed})
    return Summary(
        counts["open"],
        failed,
        error["error_code"] if error else None,
        error["error"] if error else None,
        counts["bytes"],
    )


def outputs(tx: Transaction, run_id: UUID, place: int) -> bytes:
    """The outputs in the items' order, as the JSON text of a list; null for those that failed."""
    row = tx.one(QUERIES["outputs"], {"run_id": run_id, "place": place})
    return b"[]" if row is None else str(row["outputs"]).encode()
