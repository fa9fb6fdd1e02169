"""Comparisons: verdicts on known truths, too little data, many models, and coverage of the intervals."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from tasks.metrics.questions.comparison import LEAST_EXECUTIONS, compare
from tasks.metrics.questions.evidence import Evidence
from tasks.metrics.statistics.moments import Moments
from tasks.metrics.statistics.proportions import Proportion


def drawn(
    source: random.Random,
    model: str,
    *,
    count: int = 400,
    ms: float = 1000.0,
    success: float = 0.95,
    usd: float = 0.01,
) -> Evidence:
    """Executions of a model whose truth is known: ``ms`` is the median latency, ``usd`` the mean cost."""
    return Evidence(
        model,
        outcomes=Proportion(sum(source.random() < success for _ in range(count)), count),
        log_latency=Moments.of(source.gauss(math.log(ms), 0.3) for _ in range(count)),
        quality=Moments.of(min(1.0, source.gauss(0.7, 0.1)) for _ in range(count)),
        cost=Moments.of(source.expovariate(1.0 / usd) for _ in range(count)),
    )


def test_a_model_that_really_is_faster_and_dearer() -> None:
    source = random.Random(1)
    quick, slow = drawn(source, "quick", ms=900, usd=0.02), drawn(source, "slow", ms=1000, success=0.8)
    found = {made.metric: made for made in compare([quick, slow])}
    latency = found["latency"]
    assert (latency.first, latency.second, latency.verdict) == ("quick", "slow", "first_better")
    assert latency.interval_low is not None
    assert latency.interval_high is not None
    assert latency.interval_low < -0.1 < latency.interval_high < 0
    assert latency.first_value == pytest.approx(900, rel=0.05)
    assert found["success_rate"].verdict == "first_better"
    assert found["quality"].verdict == "no_difference_shown"
    assert found["cost"].verdict == "second_better"


def test_the_order_of_models_only_turns_the_answer() -> None:
    source = random.Random(2)
    one, other = drawn(source, "one", ms=800), drawn(source, "other")
    there, back = compare([one, other])[0], compare([other, one])[0]
    assert (there.verdict, back.verdict) == ("first_better", "second_better")
    assert there.p_value == pytest.approx(back.p_value)
    assert 1 + there.difference == pytest.approx(1 / (1 + back.difference))


def test_too_little_data_is_said_and_not_tested() -> None:
    source = random.Random(3)
    few, many = drawn(source, "few", count=LEAST_EXECUTIONS - 1), drawn(source, "many")
    for made in compare([few, many]):
        assert made.verdict == "not_enough_data"
        assert (made.first_count, made.second_count) == (LEAST_EXECUTIONS - 1, 400)
        assert made.difference is made.p_value is made.adjusted_p_value is None
    assert all(made.verdict != "not_enough_data" for made in compare([few, many], least=20))
    [nothing] = [made for made in compare([Evidence("new"), many]) if made.metric == "success_rate"]
    assert (nothing.first_value, nothing.first_count) == (None, 0)


def test_metrics_that_nobody_measured_do_not_count_as_comparisons() -> None:
    source = random.Random(4)
    bare = [
        Evidence(model, log_latency=Moments.of(source.gauss(7, 0.3) for _ in range(100))) for model in ("a", "b", "c")
    ]
    tested = [made for made in compare(bare) if made.p_value is not None]
    assert len(tested) == 3
    least = min(tested, key=lambda made: made.p_value or 0)
    assert least.adjusted_p_value == pytest.approx(min(1, 3 * (least.p_value or 0)))


def test_many_models_that_are_the_same_are_seldom_called_different() -> None:
    source = random.Random(5)
    rounds, wrong, p_values = 100, 0, []
    for _ in range(rounds):
        made = compare([drawn(source, name, count=40) for name in "abcde"])
        wrong += any(one.verdict in ("first_better", "second_better") for one in made)
        p_values += [one.p_value for one in made[:1]]
    assert wrong <= 12  # expected 5 of 100 at most; 12 and more have a chance of 0.4 %
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_the_interval_of_latency_holds_the_truth_as_often_as_it_says() -> None:
    source = random.Random(6)
    rounds, held = 400, 0
    for _ in range(rounds):
        one, other = (
            Evidence(str(ms), log_latency=Moments.of(source.gauss(math.log(ms), 0.5) for _ in range(60)))
            for ms in (900, 1000)
        )
        latency = compare([one, other])[0]
        assert latency.interval_low is not None
        assert latency.interval_high is not None
        held += latency.interval_low <= -0.1 <= latency.interval_high
    assert held / rounds == pytest.approx(0.95, abs=0.04)
