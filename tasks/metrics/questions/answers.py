"""The answers in plain values, as the API and the command line give them: names and shapes of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from itertools import groupby
from typing import Any

from tasks.metrics.questions import comparison, scoring
from tasks.metrics.questions.comparison import Comparison
from tasks.metrics.questions.evidence import Evidence
from tasks.metrics.questions.recommendation import Constraints, Recommendation
from tasks.metrics.questions.scoring import Score
from tasks.metrics.questions.summary import Summary
from tasks.metrics.questions.window import Window
from tasks.metrics.statistics.proportions import wilson


def performance(window: Window, found: Sequence[Summary]) -> dict[str, Any]:
    """``GET /metrics/performance``."""
    return {"items": [summary.as_item() for summary in found], "window": _window(window)}


def timeseries(window: Window, width: timedelta, found: Sequence[Summary]) -> dict[str, Any]:
    """``GET /metrics/timeseries``: one series for each group; a bucket without executions has no point."""
    items = []
    for _, summaries in groupby(found, key=lambda summary: tuple(summary.of.values())):
        points = list(summaries)
        dimensions = dict(points[0].of)
        items.append({**dimensions, "points": [_point(summary) for summary in points]})
    return {"items": items, "window": _window(window), "bucket_s": int(width.total_seconds())}


def leaderboard(window: Window, boards: Mapping[str, Sequence[tuple[int, Score]]]) -> dict[str, Any]:
    """``GET /metrics/leaderboard``."""
    items = [
        {"task_type": task_type, "entries": [_entry(rank, score) for rank, score in board]}
        for task_type, board in boards.items()
    ]
    return {"items": items, "weights": dict(scoring.WEIGHTS), "window": _window(window)}


def compare(window: Window, models: Sequence[Evidence], found: Sequence[Comparison], least: int) -> dict[str, Any]:
    """``GET /metrics/compare``."""
    return {
        "models": [_evidence(model) for model in models],
        "comparisons": [asdict(made) for made in found],
        "min_executions": least,
        "confidence": 0.95,
        "correction": "holm",
        "significance": comparison.SIGNIFICANCE,
        "window": _window(window),
    }


def recommend(task_type: str | None, constraints: Constraints, found: Recommendation) -> dict[str, Any]:
    """``GET /metrics/recommendations``."""
    return {
        "task_type": task_type,
        "constraints": asdict(constraints),
        "choice": None if found.choice is None else asdict(found.choice),
        "items": [_entry(rank, score) for rank, score in found.items],
        "excluded": [{**_evidence(one.evidence), "reasons": list(one.reasons)} for one in found.excluded],
        "unexplored": [_evidence(model) for model in found.unexplored],
        "weights": dict(scoring.WEIGHTS),
    }


def _window(window: Window) -> dict[str, Any]:
    return {"since": window.since, "until": window.until}


def _point(summary: Summary) -> dict[str, Any]:
    item = summary.as_item()
    return {"at": summary.at} | {name: value for name, value in item.items() if name not in summary.of}


def _entry(rank: int, made: Score) -> dict[str, Any]:
    return {
        "rank": rank,
        **_evidence(made.evidence),
        "score": made.score,
        "score_error": made.error,
        "parts": dict(made.parts),
        "assumed": list(made.assumed),
    }


def _evidence(model: Evidence) -> dict[str, Any]:
    outcomes = model.outcomes
    return {
        "model": model.model,
        "executions": model.executions,
        "success_rate": outcomes.rate if outcomes.count else None,
        "success_interval": list(wilson(outcomes)) if outcomes.count else None,
        "latency_ms": {"typical": model.typical_ms, "p50": model.p50_ms, "p95": model.p95_ms},
        "quality_score": model.mean_quality,
        "quality_count": model.quality.count,
        "mean_cost_usd": model.cost.mean if model.cost.count else None,
        "priced_count": model.cost.count,
        "unpriced_count": model.unpriced_count,
    }
