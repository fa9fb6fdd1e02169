"""Leaderboard, comparison and recommendation on models whose truth is known, and the memory that makes them quick."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from tasks.errors import ValidationFailed
from tasks.metrics.prices.service import PriceService
from tasks.metrics.questions.recommendation import Constraints
from tasks.metrics.questions.service import QuestionService
from tasks.metrics.questions.store import Filter
from tasks.metrics.questions.window import Window
from tests.integration.tasks.metrics.questions.conftest import START, Told, simulated

WINDOW = Window.between(START, START + timedelta(days=3))


def test_a_model_that_really_is_ten_percent_faster_and_cheaper_by_the_price_table(
    questions: QuestionService, prices: PriceService, told: Told
) -> None:
    source = Random(1)
    told(
        [
            *simulated(source, "quick", 1500, ms=900, usd=None),
            *simulated(source, "slow", 1500, ms=1000, usd=None),
            *simulated(source, "quick", 50, ms=90_000, task_type="debugging"),
            *simulated(source, "few", 10),
        ]
    )
    prices.set("quick", 1e-6, 2e-6, START.date())
    prices.set("slow", 2e-6, 4e-6, START.date())
    evidence, found = questions.compare(["quick", "slow", "few", "nobody"], WINDOW, Filter(task_type="testing"))
    assert [(one.model, one.executions) for one in evidence] == [
        ("quick", 1500), ("slow", 1500), ("few", 10), ("nobody", 0),
    ]  # fmt: skip
    by_metric = {made.metric: made for made in found if (made.first, made.second) == ("quick", "slow")}
    latency, cost = by_metric["latency"], by_metric["cost"]
    assert latency.interval_low is not None
    assert latency.interval_high is not None
    assert latency.interval_low < -0.1 < latency.interval_high < 0
    assert (latency.verdict, cost.verdict) == ("first_better", "first_better")
    assert cost.first_value == pytest.approx(cost.second_value / 2, rel=0.1)
    assert by_metric["success_rate"].verdict == by_metric["quality"].verdict == "no_difference_shown"
    assert {made.verdict for made in found if "few" in (made.first, made.second)} == {"not_enough_data"}
    assert questions.compare(["slow", "few"], WINDOW, least=10)[1][0].verdict != "not_enough_data"
    for models in (["quick"], ["quick", "quick"], [str(n) for n in range(13)]):
        with pytest.raises(ValidationFailed):
            questions.compare(models, WINDOW)


def test_a_leaderboard_for_each_task_type(questions: QuestionService, told: Told) -> None:
    source = Random(2)
    told(
        [
            *simulated(source, "good", 300, success=0.99, quality=0.9),
            *simulated(source, "poor", 300, success=0.6, quality=0.5),
            *simulated(source, "poor", 100, task_type="debugging"),
            *simulated(source, "rare", 4),
        ]
    )
    boards = questions.leaderboard(WINDOW)
    assert {name: [(rank, made.evidence.model) for rank, made in board] for name, board in boards.items()} == {
        "debugging": [(1, "poor")],
        "testing": [(1, "good"), (2, "poor")],
    }
    assert len(questions.leaderboard(WINDOW, Filter(task_type="testing"), least=1)["testing"]) == 3


def test_recommendations_under_constraints_and_their_memory(questions: QuestionService, told: Told) -> None:
    source = Random(3)
    now = datetime.now(UTC)
    recent = {"start": now - timedelta(hours=5), "length": timedelta(hours=4)}
    told(
        [
            *simulated(source, "good", 200, ms=2000, quality=0.9, **recent),
            *simulated(source, "fast", 200, ms=200, quality=0.6, **recent),
            *simulated(source, "new", 4, **recent),
            *simulated(source, "old", 200, start=now - timedelta(days=30), length=timedelta(days=2)),
        ]
    )
    found = questions.recommend("testing", Constraints(min_quality=0.8))
    assert [made.evidence.model for _, made in found.items] == ["good"]
    assert [made.evidence.model for made in found.excluded] == ["fast"]
    assert [model.model for model in found.unexplored] == ["new"]
    quick = questions.recommend("testing", Constraints(max_latency_ms=1000), ["good", "fast", "old"])
    assert quick.choice is not None
    assert quick.choice.model == "fast"
    assert [model.model for model in quick.unexplored] == ["old"]
    chosen = [questions.recommend("testing", random=Random(seed)).choice for seed in range(50)]
    assert {"good", "new"} <= {choice.model for choice in chosen if choice is not None}

    told(simulated(source, "new", 100, quality=0.99, **recent))
    assert [model.model for model in questions.recommend("testing").unexplored] == ["new"]  # remembered
    assert questions.recommend("debugging").items == ()
    longer = questions.recommend("testing", length=timedelta(days=60))
    assert {made.evidence.model for _, made in longer.items} == {"good", "fast", "new", "old"}
