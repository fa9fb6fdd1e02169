"""The beta-binomial tail against SciPy, and that it knows ordinary unrest from news."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.metrics.statistics.beta_binomial import beta_of, upper_tail
from tasks.metrics.statistics.proportions import Proportion

blocks = st.lists(
    st.integers(1, 80).flatmap(lambda count: st.builds(Proportion, st.integers(0, count), st.just(count))),
    min_size=1,
    max_size=20,
)


@given(blocks, st.integers(1, 3_000), st.floats(0.0, 1.0))
def test_it_is_scipys_tail(samples: list[Proportion], trials: int, share: float) -> None:
    hits = round(trials * share)
    a, b = beta_of(samples)
    theirs = stats.betabinom.sf(hits - 1, trials, a, b)
    assert upper_tail(samples, trials, hits) == pytest.approx(theirs, rel=1e-4, abs=1e-9)


def test_the_normal_takes_over_without_a_jump() -> None:
    samples = [Proportion(hits, 1_000) for hits in (40, 55, 48, 61, 44)]
    below, above = upper_tail(samples, 50_000, 2_700), upper_tail(samples, 50_001, 2_700)
    assert below == pytest.approx(above, rel=0.2)


def test_a_rate_that_always_moved_is_no_news_and_a_steady_one_is() -> None:
    moving = [Proportion(hits, 100) for hits in (2, 14, 5, 20, 9, 1, 16, 7, 3, 12)]
    steady = [Proportion(hits, 100) for hits in (9, 8, 10, 9, 9, 8, 9, 10, 8, 9)]
    assert upper_tail(moving, 100, 22) > 0.01
    assert upper_tail(steady, 100, 22) < 1e-3


def test_no_failure_so_far_does_not_make_one_impossible() -> None:
    assert upper_tail([Proportion(0, 500)], 50, 1) == pytest.approx(0.06, abs=0.05)
    assert upper_tail([Proportion(0, 500)], 50, 0) == 1.0


def test_tail_probabilities_are_no_smaller_than_they_should_be() -> None:
    """Of samples like the earlier ones, at most about 1 in 100 lies in the 1 % tail."""
    source = random.Random(11)
    rounds, beyond = 3_000, 0
    for _ in range(rounds):
        samples = [
            Proportion(sum(source.random() < rate for _ in range(50)), 50)
            for rate in (source.betavariate(4, 76) for _ in range(41))
        ]
        beyond += upper_tail(samples[:40], 50, samples[40].hits) <= 0.01
    assert beyond / rounds <= 0.017
