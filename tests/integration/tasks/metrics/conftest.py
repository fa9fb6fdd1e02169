"""The metrics service on a database of the test's own, and executions to record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.metrics.model import Execution
from tasks.metrics.service import MetricsService
from tasks.settings import Settings

AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)


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
