"""The metrics service on a database of the test's own, and executions to record."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.metrics.model import TIERS, Execution
from tasks.metrics.service import MetricsService
from tasks.settings import Settings

AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
YESTERDAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
SEED = 11


def execution(execution_id: str, **fields: Any) -> Execution:
    """An execution, plain where ``fields`` say nothing else."""
    plain: dict[str, Any] = {
        "model": "llama-70b",
        "task_type": "code_review",
        "model_tier": "large",
        "started_at": AT,
        "latency_ms": 1200.5,
        "input_tokens": 900,
        "output_tokens": 300,
        "success": True,
    }
    return Execution(execution_id=execution_id, **{**plain, **fields})


def many(count: int, name: str = "e", seed: int = SEED) -> list[Execution]:
    """Executions of all kinds, over five days, in no order."""
    source = random.Random(seed)

    def maybe(value: Any) -> Any:
        return value if source.random() < 0.6 else None

    return [
        execution(
            f"{name}-{n}",
            model=f"model-{source.randrange(3)}",
            provider=maybe("acme"),
            task_type=source.choice(["debugging", "testing"]),
            model_tier=source.choice(TIERS[:2]),
            environment=source.choice(["development", "production"]),
            started_at=YESTERDAY - timedelta(days=source.randrange(4)) + timedelta(seconds=source.random() * 7200),
            latency_ms=source.choice([0, round(source.lognormvariate(6, 1), 3)]),
            first_token_latency_ms=maybe(round(source.lognormvariate(4, 1), 3)),
            input_tokens=source.randrange(5000),
            output_tokens=source.choice([0, source.randrange(2000)]),
            success=source.random() < 0.8,
            error_type=maybe(source.choice(["timeout", "http_429"])),
            quality_score=maybe(round(source.random(), 4)),
            user_satisfaction=maybe(source.randrange(1, 6)),
            retry_count=source.randrange(3),
            escalated_to_tier=maybe("huge"),
            cost_usd=maybe(round(source.random() / 50, 8)),
        )
        for n in range(count)
    ]


@pytest.fixture
def rows(db: Database) -> Callable[..., list[dict[str, Any]]]:
    """Runs a query on the test's database."""

    def run(sql: str, **parameters: Any) -> list[dict[str, Any]]:
        with db.transaction() as tx:
            return tx.all(sql, parameters)

    return run


@pytest.fixture
def hints() -> list[str]:
    """One entry for each hint that the service gave."""
    return []


@pytest.fixture
def metrics(db: Database, settings: Settings, hints: list[str]) -> MetricsService:
    """The service, its hints kept in ``hints``."""
    return MetricsService(db, settings, lambda: hints.append("hint"))
