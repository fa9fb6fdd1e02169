"""Executions of models whose truth is known, to post and to load."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from random import Random
from typing import Any

MODELS = 8
TASK_TYPES = ("code_review", "testing", "debugging", "documentation")
_SEED = 12


def executions(run: str, count: int, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """``count`` executions, as they are posted, of ``MODELS`` models and ``TASK_TYPES`` that began in a stretch of
    time; ``run`` is the beginning of their ids and of the models' names."""
    source = Random(f"{_SEED}-{run}")
    return [_execution(source, run, number, since, until - since) for number in range(count)]


def _execution(source: Random, run: str, number: int, since: datetime, length: timedelta) -> dict[str, Any]:
    model = source.randrange(MODELS)
    success = source.random() < 0.97
    made = {
        "execution_id": f"{run}-{number:08d}-{source.getrandbits(48):012x}",
        "model": f"{run}-model-{model}",
        "model_tier": "large",
        "provider": "acme",
        "task_type": source.choice(TASK_TYPES),
        "environment": "production",
        "started_at": (since + length * source.random()).isoformat(timespec="milliseconds"),
        "latency_ms": round(400 * (1 + model) * math.exp(source.gauss(0, 0.5)), 3),
        "first_token_latency_ms": round(90 * (1 + model) * math.exp(source.gauss(0, 0.4)), 3),
        "input_tokens": source.randrange(100, 5000),
        "output_tokens": source.randrange(1, 2000),
        "success": success,
        "quality_score": round(source.random(), 3),
        "cost_usd": round(source.random() / 50, 6),
    }
    return made if success else {**made, "error_type": "timeout"}
