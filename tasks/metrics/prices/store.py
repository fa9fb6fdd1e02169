"""The table ``model_prices``: the only place that changes it, each change told in the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import orjson

from tasks import correlation
from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.ids import new_id
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.metrics.prices.model import Price

QUERIES = Queries("tasks.metrics.prices", "prices.sql")
_TOLD_PATTERNS = 50


def rows(tx: Transaction) -> list[dict[str, Any]]:
    """All prices, by pattern and day."""
    return tx.all(QUERIES["all"])


def put(tx: Transaction, prices: Sequence[Price], source: str) -> int:
    """Stores prices, in the place of those of the same pattern and day; returns how many said something new."""
    text = orjson.dumps(
        [
            {
                "pattern": price.pattern,
                "valid_from": price.valid_from,
                "input_usd": price.input_usd,
                "output_usd": price.output_usd,
            }
            for price in prices
        ]
    ).decode()
    changed = [row["pattern"] for row in tx.all(QUERIES["set"], {"rows": text, "source": source})]
    if changed:
        _tell(tx, {"change": "set", "source": source, "count": len(changed), "patterns": changed[:_TOLD_PATTERNS]})
    return len(changed)


def remove(tx: Transaction, pattern: str, valid_from: date) -> bool:
    """Takes a price out; False where there is none."""
    removed = tx.execute(QUERIES["remove"], {"pattern": pattern, "valid_from": valid_from}) > 0
    if removed:
        _tell(tx, {"change": "removed", "patterns": [pattern], "valid_from": valid_from.isoformat()})
    return removed


def _tell(tx: Transaction, payload: Mapping[str, Any]) -> None:
    what = {"resource": "model-prices", **payload}
    event = JournalEvent("configuration", str(new_id()), 1, "configuration-changed", what, correlation.current())
    append(tx, [event])
