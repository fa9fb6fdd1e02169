"""What the executions of one group, in one bucket of time, add up to; and their cost by the price table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tasks.metrics.histogram import Histogram
from tasks.metrics.prices.model import Price
from tasks.metrics.questions.evidence import Evidence
from tasks.metrics.statistics.moments import Moments
from tasks.metrics.statistics.proportions import Proportion

DIMENSIONS = ("model", "provider", "task_type", "model_tier", "environment")
_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
# The least that a latency can tell: one of 0 has no logarithm, and counts as this.
LEAST_LATENCY_MS = 0.001


@dataclass(frozen=True)
class Summary:
    """One group: ``of`` names its dimensions, ``at`` is when its bucket of time begins. Latencies are in ms."""

    of: Mapping[str, str]
    at: datetime
    executions: int = 0
    successes: int = 0
    retries: int = 0
    escalations: int = 0
    latency_ms: Mapping[str, float | None] = field(default_factory=dict)
    first_token_latency_ms: Mapping[str, float | None] = field(default_factory=dict)
    log_latency: Moments = field(default_factory=Moments)
    tokens_per_second: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    quality: Moments = field(default_factory=Moments)
    user_satisfaction: float | None = None
    cost: Moments = field(default_factory=Moments)
    unpriced_count: int = 0

    def as_item(self) -> dict[str, Any]:
        """The figures as the contract names them; ``cost_usd`` is the sum of what is known, None where nothing is."""
        count = self.executions
        return {
            **self.of,
            "count": count,
            "success_rate": self.successes / count if count else None,
            "latency_ms": dict(self.latency_ms),
            "first_token_latency_ms": dict(self.first_token_latency_ms),
            "tokens_per_second": self.tokens_per_second,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "quality_score": self.quality.mean if self.quality.count else None,
            "quality_count": self.quality.count,
            "user_satisfaction": self.user_satisfaction,
            "cost_usd": self.cost.total if self.cost.count else None,
            "priced_count": self.cost.count,
            "unpriced_count": self.unpriced_count,
            "retries": self.retries,
            "escalations": self.escalations,
        }

    def as_evidence(self) -> Evidence:
        """The same as evidence about its model."""
        return Evidence(
            self.of["model"],
            outcomes=Proportion(self.successes, self.executions),
            log_latency=self.log_latency,
            p50_ms=self.latency_ms.get("p50"),
            p95_ms=self.latency_ms.get("p95"),
            quality=self.quality,
            cost=self.cost,
            unpriced_count=self.unpriced_count,
        )


def summary_of(row: Mapping[str, Any], by: tuple[str, ...], cost: Moments, unpriced_count: int) -> Summary:
    """The summary of a row of the query ``totals``; ``cost`` and ``unpriced_count`` are what prices add to it."""
    told = Moments(int(row["cost_count"]), float(row["cost_sum"]), float(row["cost_sum_sq"]))
    latency = Histogram.from_packed(row["latency_histogram"])
    return Summary(
        of={name: row[f"of_{name}"] for name in by},
        at=row["at"],
        executions=int(row["executions"]),
        successes=int(row["successes"]),
        retries=int(row["retries"]),
        escalations=int(row["escalations"]),
        latency_ms=_latencies(row, "latency", latency),
        first_token_latency_ms=_latencies(row, "first_token", Histogram.from_packed(row["first_token_histogram"])),
        log_latency=latency.log_moments(LEAST_LATENCY_MS),
        tokens_per_second=_mean(row, "speed"),
        input_tokens=int(row["input_tokens"]),
        output_tokens=int(row["output_tokens"]),
        quality=Moments(int(row["quality_count"]), float(row["quality_sum"]), float(row["quality_sum_sq"])),
        user_satisfaction=_mean(row, "satisfaction"),
        cost=told + cost,
        unpriced_count=unpriced_count,
    )


def priced(row: Mapping[str, Any], price: Price) -> Moments:
    """The costs, by one price, of the executions that ``row`` (of the query ``without_cost``) adds up."""
    a, b = price.input_usd, price.output_usd
    squares = (
        a * a * float(row["input_sq"]) + b * b * float(row["output_sq"]) + 2 * a * b * float(row["input_output"])
    )
    return Moments(int(row["count"]), price.cost_usd(float(row["input"]), float(row["output"])), squares)


def _latencies(row: Mapping[str, Any], name: str, histogram: Histogram) -> dict[str, float | None]:
    found = histogram.quantiles(_PERCENTILES.values())
    return {"mean": _mean(row, name), **dict(zip(_PERCENTILES, found, strict=True))}


def _mean(row: Mapping[str, Any], name: str) -> float | None:
    count = int(row[f"{name}_count"])
    return float(row[f"{name}_sum"]) / count if count else None
