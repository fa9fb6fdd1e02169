"""Models of known truth on a real database, recorded and rolled up as executions are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.metrics.applying import Applier
from tasks.metrics.model import Execution
from tasks.metrics.prices.service import PriceService
from tasks.metrics.questions.service import QuestionService
from tasks.metrics.service import MetricsService
from tasks.settings import Settings
from tests.integration.tasks.metrics.conftest import execution

Told = Callable[[Iterable[Execution]], None]
START = datetime(2026, 3, 2, tzinfo=UTC)


def simulated(
    source: Random,
    model: str,
    count: int,
    *,
    start: datetime = START,
    length: timedelta = timedelta(days=3),
    ms: float = 1000.0,
    success: float = 0.95,
    quality: float | None = 0.8,
    usd: float | None = 0.01,
    **fields: Any,
) -> list[Execution]:
    """``count`` executions of a model whose truth is known, spread evenly at random over a stretch of time."""
    return [
        execution(
            f"{model}-{source.getrandbits(60)}",
            model=model,
            started_at=start + length * source.random(),
            latency_ms=round(ms * math.exp(source.gauss(0, 0.4)), 3),
            first_token_latency_ms=round(ms / 10 * math.exp(source.gauss(0, 0.4)), 3),
            input_tokens=source.randrange(100, 2000),
            output_tokens=source.randrange(10, 500),
            success=source.random() < success,
            quality_score=None if quality is None else round(min(1.0, max(0.0, source.gauss(quality, 0.1))), 6),
            cost_usd=None if usd is None else round(usd * source.expovariate(1), 9),
            **{"task_type": "testing", **fields},
        )
        for _ in range(count)
    ]


def roll_up(db: Database, settings: Settings) -> None:
    """Brings what was recorded into the rollups."""
    while Applier(db, settings).apply_small():
        pass


@pytest.fixture
def told(metrics: MetricsService, db: Database, settings: Settings) -> Told:
    """Records executions and brings them into the rollups."""

    def tell(executions: Iterable[Execution]) -> None:
        left = list(executions)
        while left:
            metrics.record(left[:5000])
            left = left[5000:]
        roll_up(db, settings)

    return tell


@pytest.fixture
def prices(db: Database) -> PriceService:
    return PriceService(db)


@pytest.fixture
def questions(db: Database, prices: PriceService) -> QuestionService:
    return QuestionService(db, prices)
