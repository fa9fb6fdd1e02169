"""Welch's t test: as SciPy computes it, and what its promises are worth by simulation."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.metrics.statistics.moments import Moments
from tasks.metrics.statistics.welch import welch

samples = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40).filter(
    lambda values: max(values) - min(values) > 1e-3
)


@given(samples, samples)
def test_it_is_scipys(first: list[float], second: list[float]) -> None:
    ours = welch(Moments.of(first), Moments.of(second))
    theirs = stats.ttest_ind(first, second, equal_var=False)
    interval = theirs.confidence_interval()
    scale = max(map(abs, (*first, *second)))
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-4, abs=1e-9)
    assert ours.low == pytest.approx(interval.low, rel=1e-4, abs=1e-6 * scale)
    assert ours.high == pytest.approx(interval.high, rel=1e-4, abs=1e-6 * scale)


@given(samples, samples)
def test_moments_add_up(first: list[float], second: list[float]) -> None:
    whole, parts = Moments.of(first + second), Moments.of(first) + Moments.of(second)
    assert parts.count == whole.count
    assert parts.mean == pytest.approx(whole.mean, abs=1e-9)
    assert parts.variance == pytest.approx(stats.tvar(first + second), rel=1e-6)


def test_samples_that_do_not_vary() -> None:
    same, other = Moments.of([2.0, 2.0]), Moments.of([3.0, 3.0, 3.0])
    assert welch(same, same).p_value == 1.0
    assert welch(same, other).p_value == 0.0
    assert (welch(same, other).low, welch(same, other).high) == (-1.0, -1.0)


def test_tiny_numbers_do_not_underflow() -> None:
    scale = 1e-120
    small = welch(Moments.of([scale, 2 * scale, 4 * scale]), Moments.of([2 * scale, 3 * scale]))
    large = welch(Moments.of([1.0, 2.0, 4.0]), Moments.of([2.0, 3.0]))
    assert small.p_value == pytest.approx(large.p_value)


def test_coverage_and_uniform_p_values_under_lognormal_latency() -> None:
    """95 % of the intervals hold the true difference; p-values of no difference are uniform."""
    source = random.Random(20261125)
    rounds, held, p_values = 2_000, 0, []
    for _ in range(rounds):
        first = Moments.of(source.gauss(6.0, 0.4) for _ in range(40))
        second = Moments.of(source.gauss(6.0, 0.8) for _ in range(90))
        found = welch(first, second)
        held += found.low <= 0.0 <= found.high
        p_values.append(found.p_value)
    # Four standard errors of a share of 0.95 in 2,000 rounds.
    assert held / rounds == pytest.approx(0.95, abs=0.02)
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
