"""How the lab's endpoints and models did lately: attempts, success, latency, tokens, what failed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.db import deadline
from tasks.db.pool import Database
from tasks.db.queries import Queries

QUERIES = Queries("tasks.lab", "report.sql")
_DATABASE_S = 10.0
_QUANTILES = ("p50", "p90", "p95", "p99")


def performance_report(db: Database, endpoints: Sequence[str], hours: float) -> dict[str, Any]:
    """The last ``hours`` of these endpoints, and of the models that they were asked for. Raises DatabaseBusy."""
    until = datetime.now(UTC)
    window = {"since": until - timedelta(hours=hours), "until": until, "endpoints": list(endpoints)}
    with deadline.within(_DATABASE_S), db.transaction() as tx:
        rows = tx.all(QUERIES["performance"], window)
        failed = tx.all(QUERIES["errors"], window)
    errors: defaultdict[tuple[str | None, str | None], dict[str, int]] = defaultdict(dict)
    for row in failed:
        errors[row["endpoint"], row["model"]][row["error_type"] or "unknown"] = row["count"]
    shown = [(row, _shown(row, errors[row["endpoint"], row["model"]])) for row in rows]
    return {
        "since": window["since"],
        "until": until,
        "endpoints": [one for row, one in shown if row["endpoint"] is not None],
        "models": [one for row, one in shown if row["endpoint"] is None],
    }


def _shown(row: Mapping[str, Any], errors: Mapping[str, int]) -> dict[str, Any]:
    kept = ("attempts", "success_rate", "escalations", "input_tokens", "output_tokens", "tokens_per_second")
    return {
        "name": row["endpoint"] or row["model"],
        **{name: row[name] for name in kept},
        "quality_score": row["quality_score"],
        "latency_ms": _distribution(row["latency_mean"], row["latency"]),
        "first_token_latency_ms": _distribution(row["first_token_mean"], row["first_token"]),
        "errors": dict(errors),
    }


def _distribution(mean: float | None, quantiles: Sequence[float] | None) -> dict[str, float | None]:
    values: Sequence[float | None] = quantiles or [None] * len(_QUANTILES)
    return {"mean": mean, **dict(zip(_QUANTILES, values, strict=True))}
