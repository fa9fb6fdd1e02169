"""What the lab does by what is known of models: order, constraints, exploration, costs."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from tasks.db.pool import Database
from tasks.lab.advising import MetricsAdvice
from tasks.lab.asking import AskRequest
from tasks.lab.service import LabService
from tasks.metrics.prices.service import PriceService
from tasks.metrics.questions.service import QuestionService
from tasks.metrics.service import MetricsService
from tasks.settings import Settings
from tests.integration.tasks.lab.conftest import Add
from tests.integration.tasks.metrics.questions.conftest import roll_up, simulated
from tests.lab_server import LabServer

NOW = datetime.now(UTC)
RECENT = {"start": NOW - timedelta(hours=6), "length": timedelta(hours=5)}


@pytest.fixture
def known(db: Database, settings: Settings) -> None:
    """good is better and slower than quick."""
    source = Random(1)
    executions = [
        *simulated(source, "good", 300, ms=2000, success=0.99, quality=0.95, **RECENT),
        *simulated(source, "quick", 300, ms=200, success=0.7, quality=0.4, **RECENT),
    ]
    MetricsService(db, settings, lambda: None).record(executions)
    roll_up(db, settings)


@pytest.fixture
def advice(db: Database) -> MetricsAdvice:
    prices = PriceService(db)
    return MetricsAdvice(QuestionService(db, prices), prices, Random(1))


@pytest.mark.usefixtures("known")
def test_the_order_is_the_recommendations_and_new_models_are_tried(advice: MetricsAdvice) -> None:
    request = AskRequest("?", task_type="testing")
    found = advice.knowledge(request, ["quick", "good"])
    assert list(found.advised) == ["good", "quick"]
    assert found.figures["quick"].latency_ms == pytest.approx(200 * 1.93, rel=0.15)
    assert found.figures["good"].quality_score == pytest.approx(0.94, abs=0.03)
    first = Counter(advice.knowledge(request, ["quick", "good", "new"]).advised[0] for _ in range(300))
    assert first["good"] > 200
    assert 10 < first["new"] < 60
    fast = advice.knowledge(AskRequest("?", task_type="testing", max_latency_ms=1000), ["quick", "good"])
    assert list(fast.advised) == ["quick"]
    assert list(advice.knowledge(AskRequest("?", task_type="debugging"), ["quick", "good"]).advised) == []


@pytest.mark.usefixtures("known")
def test_the_lab_asks_the_recommended_model_although_its_tier_is_higher(
    lab: LabService, lab_server: LabServer, add: Add, db: Database
) -> None:
    lab_server.behave("good")
    lab_server.behave("quick")
    add(lab_server, "small", tier="small", models=["quick"])
    add(lab_server, "large", tier="large", models=["good"])
    PriceService(db).set("good", 1e-6, 2e-6)
    answer = lab.ask(AskRequest("hello", task_type="testing"), 20)
    assert answer.model == "good"
    assert answer.cost_usd is not None
    assert answer.cost_usd == pytest.approx((answer.input_tokens or 0) * 1e-6 + (answer.output_tokens or 0) * 2e-6)
    assert lab.ask(AskRequest("hello", task_type="unheard-of"), 20).model == "quick"
