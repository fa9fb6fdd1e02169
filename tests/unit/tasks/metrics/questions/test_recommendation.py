"""Recommendations: constraints, too little data, and exploration that finds the truth and stays cheap."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from tasks.metrics.questions.evidence import Evidence
from tasks.metrics.questions.recommendation import EXPLORATION, LEAST_EXECUTIONS, Constraints, recommend
from tasks.metrics.statistics.moments import Moments
from tests.unit.tasks.metrics.questions.test_scoring import known

FREE = Constraints()


def by_name(*models: Evidence) -> dict[str, Evidence]:
    return {model.model: model for model in models}


def test_the_best_that_keeps_the_constraints_comes_first() -> None:
    models = by_name(
        known("good", ms=1000, usd=0.02, quality=0.9),
        known("slow", ms=9000, quality=0.95),
        known("poor", quality=0.3),
        known("dear", usd=0.5, quality=0.99),
        known("dark", usd=None, unpriced=1000, quality=0.99),
    )
    found = recommend(models, Constraints(max_latency_ms=5000, max_cost_usd=0.1, min_quality=0.5))
    assert [made.evidence.model for _, made in found.items] == ["good"]
    assert {made.evidence.model: made.reasons for made in found.excluded} == {
        "slow": ("p95 latency 18000 is above 5000 ms",),
        "poor": ("mean quality 0.3 is below 0.5",),
        "dear": ("mean cost 0.5 is above 0.1 USD",),
        "dark": ("mean cost is not known",),
    }
    assert found.choice is not None
    assert (found.choice.model, found.choice.how) == ("good", "best")


def test_five_executions_are_needed_for_a_place() -> None:
    models = by_name(known("known"), known("new", hits=4, count=LEAST_EXECUTIONS - 1))
    found = recommend(models, FREE, candidates=["known", "new", "unheard-of"])
    assert [made.evidence.model for _, made in found.items] == ["known"]
    assert [(model.model, model.executions) for model in found.unexplored] == [("new", 4), ("unheard-of", 0)]
    enough = recommend(by_name(known("new", hits=5, count=LEAST_EXECUTIONS)), FREE)
    assert [made.evidence.model for _, made in enough.items] == ["new"]
    assert recommend({}, FREE).choice is None
    only_new = recommend({}, FREE, candidates=["new"], random=Random(1))
    assert only_new.choice is not None
    assert only_new.choice.how == "explored"


def test_the_same_seed_makes_the_same_choice_and_new_models_get_their_share() -> None:
    models = by_name(known("known"), known("other", ms=1300))

    def choices(seed: int) -> list[str]:
        random = Random(seed)
        made = [recommend(models, FREE, ["known", "other", "new"], random).choice for _ in range(2000)]
        return [choice.model for choice in made if choice is not None]

    first = choices(7)
    assert first == choices(7)
    assert first != choices(8)
    assert Counter(first)["new"] / 2000 == pytest.approx(EXPLORATION, abs=0.03)


def test_the_sure_winner_is_taken_and_the_doubtful_are_tried() -> None:
    sure = by_name(known("good", hits=990, count=1000), known("bad", hits=300, count=1000))
    random = Random(1)
    taken = Counter(recommend(sure, FREE, random=random).choice.model for _ in range(300))  # type: ignore[union-attr]
    assert taken["good"] == 300
    doubtful = by_name(known("good", hits=9, count=10), known("bad", hits=7, count=10))
    tried = Counter(recommend(doubtful, FREE, random=random).choice.model for _ in range(500))  # type: ignore[union-attr]
    assert 25 < tried["bad"] < 250


def test_choosing_by_it_finds_the_best_of_five_soon() -> None:
    """A user who always takes the choice: in the long run nearly all go to the best model, whichever that is."""
    truth = {"a": 0.55, "b": 0.6, "c": 0.9, "d": 0.7, "e": 0.5}
    random = Random(42)
    outcomes: dict[str, list[bool]] = {name: [] for name in truth}
    taken = []
    for _ in range(1500):
        models = by_name(*(known(name, hits=sum(won), count=len(won), ms=1000) for name, won in outcomes.items()))
        bare = {
            name: Evidence(name, model.outcomes, Moments(len(outcomes[name]), 0.0, 0.0))
            for name, model in models.items()
        }
        choice = recommend(bare, FREE, random=random).choice
        assert choice is not None
        outcomes[choice.model].append(random.random() < truth[choice.model])
        taken.append(choice.model)
    assert Counter(taken[-500:])["c"] > 450
    assert min(map(len, outcomes.values())) >= LEAST_EXECUTIONS
