"""Scores: what each part is worth, what is assumed, ranks and ties."""

from __future__ import annotations

import math

import pytest

from tasks.metrics.questions.evidence import Evidence
from tasks.metrics.questions.scoring import WEIGHTS, Scale, ranked
from tasks.metrics.statistics.moments import Moments
from tasks.metrics.statistics.proportions import Proportion


def known(
    model: str, *, hits: int = 950, count: int = 1000, ms: float = 1000.0, quality: float | None = 0.7,
    usd: float | None = 0.01, unpriced: int = 0,
) -> Evidence:  # fmt: skip
    """A model of which much is known, with little scatter."""

    def around(value: float | None) -> Moments:
        return Moments() if value is None else Moments.of([value * 0.9, value * 1.1] * (count // 2))

    logs = Moments.of([math.log(ms) - 0.1, math.log(ms) + 0.1] * (count // 2))
    return Evidence(model, Proportion(hits, count), logs, ms, 2 * ms, around(quality), around(usd), unpriced)


def test_a_score_is_the_weighted_mean_of_its_parts() -> None:
    one, other = known("one", ms=500), known("other", ms=1500)
    scale = Scale.of([one, other])
    score = scale.score(one)
    assert scale.typical_ms == pytest.approx(1000)
    assert score.parts["speed"] == pytest.approx(1000 / 1500)
    assert score.parts["cost"] == pytest.approx(0.5)
    assert score.parts["success"] == pytest.approx(951 / 1002)
    assert score.score == pytest.approx(sum(WEIGHTS[name] * value for name, value in score.parts.items()))
    assert score.assumed == ()


def test_an_unpriced_model_is_neither_cheap_nor_dear() -> None:
    models = [known("a", usd=0.01), known("b", usd=0.03), known("c", usd=None, unpriced=1000)]
    scores = {made.evidence.model: made for _, made in ranked(models)}
    assert scores["c"].assumed == ("cost",)
    assert scores["a"].parts["cost"] > scores["c"].parts["cost"] > scores["b"].parts["cost"]
    half = Scale.of([known("d", usd=0.01, unpriced=1)])
    assert "cost" not in half.parts(known("d", usd=0.01, unpriced=1))


def test_a_part_that_nobody_has_is_left_out_and_free_models_are_the_cheapest() -> None:
    [(_, bare)] = ranked([known("a", quality=None, usd=None)])
    assert set(bare.parts) == {"success", "speed"}
    assert 0 <= bare.score <= 1
    free, paid = known("free", usd=0.0), known("paid", usd=0.02)
    scores = {made.evidence.model: made.parts["cost"] for _, made in ranked([free, paid])}
    assert scores == pytest.approx({"free": 1.0, "paid": 1 / 3})
    assert ranked([known("x", usd=0.0)])[0][1].parts["cost"] == 0.5


def test_models_that_cannot_be_told_apart_share_a_rank() -> None:
    models = [
        known("best", hits=990),
        known("twin", hits=989),
        known("worse", hits=500),
        known("worst", hits=400),
    ]
    assert [(rank, made.evidence.model) for rank, made in ranked(models)] == [
        (1, "best"), (1, "twin"), (3, "worse"), (4, "worst"),
    ]  # fmt: skip
    few = [known("few", hits=4, count=4), known("others", hits=3, count=4)]
    assert {rank for rank, _ in ranked(few)} == {1}
    assert ranked([]) == []
