"""Score intervals of proportions: published examples, SciPy, and coverage."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.metrics.statistics.proportions import Proportion, miettinen_nurminen, wilson

proportions = st.integers(1, 500).flatmap(lambda count: st.builds(Proportion, st.integers(0, count), st.just(count)))

# Newcombe, Statistics in Medicine 17 (1998), 873-890, table II, method 5 (Miettinen and Nurminen).
PUBLISHED = [
    ((56, 70), (48, 80), (0.0528, 0.3382)),
    ((9, 10), (3, 10), (0.1700, 0.8406)),
    ((6, 7), (2, 7), (0.0342, 0.8534)),
    ((5, 56), (0, 29), (-0.0326, 0.1933)),
    ((0, 10), (0, 20), (-0.1658, 0.2844)),
]


@pytest.mark.parametrize(("first", "second", "interval"), PUBLISHED)
def test_published_intervals(first: tuple[int, int], second: tuple[int, int], interval: tuple[float, float]) -> None:
    found = miettinen_nurminen(Proportion(*first), Proportion(*second))
    assert (found.low, found.high) == pytest.approx(interval, abs=5e-5)


@given(proportions)
def test_wilson_is_scipys(sample: Proportion) -> None:
    theirs = stats.binomtest(sample.hits, sample.count).proportion_ci(method="wilson")
    assert wilson(sample) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(proportions, proportions)
def test_the_test_is_the_chi_squared_with_n_minus_one(first: Proportion, second: Proportion) -> None:
    table = [[sample.hits, sample.count - sample.hits] for sample in (first, second)]
    found = miettinen_nurminen(first, second)
    if any(sum(column) == 0 for column in zip(*table, strict=True)):
        assert found.p_value == 1.0
        return
    total = first.count + second.count
    statistic = stats.chi2_contingency(table, correction=False).statistic * (total - 1) / total
    assert found.p_value == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-6, abs=1e-12)


@given(proportions, proportions)
def test_interval_and_test_agree_and_the_order_only_turns_the_sign(first: Proportion, second: Proportion) -> None:
    found, turned = miettinen_nurminen(first, second), miettinen_nurminen(second, first)
    assert -1.0 <= found.low <= found.difference <= found.high <= 1.0
    if abs(found.p_value - 0.05) > 1e-6:
        assert (found.p_value < 0.05) == (found.low > 0.0 or found.high < 0.0)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=1e-9)
    assert turned.p_value == pytest.approx(found.p_value)


def test_coverage_where_rates_are_high_and_samples_small() -> None:
    source = random.Random(7)
    rounds, held = 2_000, 0
    for _ in range(rounds):
        first = Proportion(sum(source.random() < 0.97 for _ in range(60)), 60)
        second = Proportion(sum(source.random() < 0.90 for _ in range(35)), 35)
        found = miettinen_nurminen(first, second)
        held += found.low <= 0.07 <= found.high
    assert held / rounds == pytest.approx(0.95, abs=0.02)
