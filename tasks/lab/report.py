"""How the lab's endpoints and models did lately: attempts, success, latency, tokens, what failed.

Percentiles come from histograms, within 0.542 % (``tasks.metrics.histogram``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.db import deadline
from tasks.db.pool import Database
from tasks.db.queries import Queries
from tasks.metrics.histogram import Histogram

QUERIES = Queries("tasks.lab", "report.sql")
# Attempts that nobody let finish say nothing of who was asked.
UNFINISHED = ("abandoned", "cancelled")
_DATABASE_S = 10.0
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def performance_report(db: Database, endpoints: Sequence[str], hours: float) -> dict[str, Any]:
    """The last ``hours`` of these endpoints, and of the models that they were asked for. Raises DatabaseBusy."""
    until = datetime.now(UTC)
    window = {"since": until - timedelta(hours=hours), "until": until, "endpoints": list(endpoints)}
    by_endpoint: defaultdict[str, _Totals] = defaultdict(_Totals)
    by_model: defaultdict[str, _Totals] = defaultdict(_Totals)
    with deadline.within(_DATABASE_S), db.transaction() as tx:
        for row in tx.all(QUERIES["sums"], window):
            by_endpoint[row["endpoint"]].add(row)
            by_model[row["model"]].add(row)
        for row in tx.all(QUERIES["histograms"], window):
            by_endpoint[row["endpoint"]].count(row)
            by_model[row["model"]].count(row)
    return {
        "since": window["since"],
        "until": until,
        "endpoints": [by_endpoint[name].shown(name) for name in sorted(by_endpoint)],
        "models": [by_model[name].shown(name) for name in sorted(by_model)],
    }


@dataclass
class _Totals:
    """The attempts at one endpoint, or with one model."""

    sums: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds a row of ``sums``."""
        for name, value in row.items():
            if name not in ("endpoint", "model", "error_type") and value is not None:
                self.sums[name] += value
        failures = row["attempts"] - row["successes"]
        if failures:
            self.errors[row["error_type"] or "unknown"] += failures

    def count(self, row: Mapping[str, Any]) -> None:
        """Adds a row of ``histograms``."""
        (self.first_token if row["first"] else self.latency).add({row["index"]: row["count"]})

    def shown(self, name: str) -> dict[str, Any]:
        """As it is told."""
        sums = self.sums
        finished = sums["attempts"] - sum(self.errors[one] for one in UNFINISHED)
        return {
            "name": name,
            "attempts": sums["attempts"],
            "success_rate": _share(sums["successes"], finished),
            "escalations": sums["escalations"],
            "input_tokens": int(sums["input_tokens"]),
            "output_tokens": int(sums["output_tokens"]),
            "tokens_per_second": _share(1000 * sums["spoken_tokens"], sums["speaking_ms"]),
            "quality_score": _share(sums["quality"], sums["scored"]),
            "latency_ms": _distribution(_share(sums["latency"], sums["successes"]), self.latency),
            "first_token_latency_ms": _distribution(
                _share(sums["first_token"], sums["first_tokens"]), self.first_token
            ),
            "errors": {error: self.errors[error] for error in sorted(self.errors) if self.errors[error]},
        }


def _share(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None


def _distribution(mean: float | None, histogram: Histogram) -> dict[str, float | None]:
    found = histogram.quantiles(_QUANTILES.values())
    return {"mean": mean, **dict(zip(_QUANTILES, found, strict=True))}
