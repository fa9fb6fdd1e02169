"""What the rollups of executions must be, by plain arithmetic in Python: the oracle of the tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tasks.metrics.histogram import Histogram

Key = tuple[Any, ...]
_DIMENSIONS = ("model", "provider", "task_type", "model_tier", "environment")
_MOMENTS = {
    "latency_ms": "latency_ms",
    "first_token_latency_ms": "first_token_latency_ms",
    "quality_score": "quality_score",
    "user_satisfaction": "user_satisfaction",
    "cost_usd": "cost_usd",
}
_HISTOGRAMS = ("latency_ms", "first_token_latency_ms")


def rollups_of(executions: Iterable[Mapping[str, Any]]) -> dict[Key, dict[str, Any]]:
    """The rollups of rows of ``model_executions``, by grain, bucket and dimensions; with "" for all task types."""
    made: dict[Key, dict[str, Any]] = {}
    for row in executions:
        at: datetime = row["started_at"].astimezone(UTC)
        minute = at.replace(second=0, microsecond=0)
        hour = minute.replace(minute=0)
        for grain, bucket in (("minute", minute), ("hour", hour), ("day", hour.replace(hour=0))):
            for together in ({}, {"task_type": ""}):
                key = (grain, bucket, *({**row, **together}[name] for name in _DIMENSIONS))
                _add(made.setdefault(key, _empty()), row)
    return made


def as_told(rows: Iterable[Mapping[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Rows of ``metric_rollups`` in the same form. Select them with ``SELECT_ROLLUPS``."""
    told = {}
    for row in rows:
        values = {name: value for name, value in row.items() if name not in ("grain", "bucket", *_DIMENSIONS)}
        for name in _HISTOGRAMS:
            values[name] = Histogram.from_packed(values.pop(f"{name}_packed"))
        told[(row["grain"], row["bucket"], *(row[name] for name in _DIMENSIONS))] = values
    return told


SELECT_ROLLUPS = "SELECT *" + "".join(f", {n}::text AS {n}_packed" for n in _HISTOGRAMS) + " FROM metric_rollups"


def _empty() -> dict[str, Any]:
    sums: dict[str, Any] = {f"{name}_{what}": Decimal() for name in _MOMENTS for what in ("sum", "sum_sq")}
    counts = {f"{name}_count": 0 for name in (*_MOMENTS, "tokens_per_second", "without_cost")}
    names = ("executions", "successes", "retries", "escalations", "input_tokens", "output_tokens")
    names += tuple(f"without_cost_{n}" for n in ("input", "output", "input_sq", "output_sq", "input_output"))
    return {
        **sums,
        **counts,
        **dict.fromkeys(names, 0),
        "tokens_per_second_sum": Decimal(),
        "tokens_per_second_sum_sq": Decimal(),
        "error_types": Counter(),
        **{name: Histogram() for name in _HISTOGRAMS},
    }


def _add(rollup: dict[str, Any], row: Mapping[str, Any]) -> None:
    taken, given = row["input_tokens"], row["output_tokens"]
    rollup["executions"] += 1
    rollup["successes"] += row["success"]
    rollup["retries"] += row["retry_count"]
    rollup["escalations"] += row["escalated_to_tier"] is not None
    rollup["input_tokens"] += taken
    rollup["output_tokens"] += given
    if not row["success"]:
        rollup["error_types"][row["error_type"] or "unknown"] += 1
    values = {name: row[column] for name, column in _MOMENTS.items()}
    values["tokens_per_second"] = None
    if row["success"] and given and row["latency_ms"]:
        rate = Decimal(given) * 1000 / row["latency_ms"]
        values["tokens_per_second"] = rate.quantize(Decimal("0.001"), ROUND_HALF_UP)
    for name, value in values.items():
        if value is not None:
            rollup[f"{name}_count"] += 1
            rollup[f"{name}_sum"] += value
            rollup[f"{name}_sum_sq"] += value * value
            if name in _HISTOGRAMS:
                rollup[name].record(float(value))
    if row["cost_usd"] is None:
        rollup["without_cost_count"] += 1
        rollup["without_cost_input"] += taken
        rollup["without_cost_output"] += given
        rollup["without_cost_input_sq"] += taken * taken
        rollup["without_cost_output_sq"] += given * given
        rollup["without_cost_input_output"] += taken * given
