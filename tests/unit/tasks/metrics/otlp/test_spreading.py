"""Buckets come into our histograms with every value counted, none outside of its bucket, and sums that are exact."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from statistics import NormalDist, fmean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics.histogram import RELATIVE_ERROR, index_of, value_of
from tasks.metrics.otlp.model import Explicit, Exponential, Values
from tasks.metrics.otlp.shape import Rise
from tasks.metrics.otlp.spreading import Span, contribution_of, spread
from tests import otlp

seconds = st.floats(0.0001, 200)
samples = st.lists(seconds, min_size=1, max_size=60)
bounds = st.lists(st.floats(0, 1000), min_size=0, max_size=12, unique=True).map(sorted).map(tuple)
# Slopes that never lead down are at most three times that of a straight line.
rise = st.builds(Rise, st.floats(0, 3), st.floats(0, 3))
ROUNDING = 1e-6


def values_of(told: list[float], limits: tuple[float, ...] = otlp.BOUNDS, *, extremes: bool = True) -> Values:
    """What an SDK tells of ``told``, in seconds."""
    counts = [0] * (len(limits) + 1)
    for value in told:
        counts[sum(value > limit for limit in limits)] += 1
    return Values(
        count=len(told),
        total=sum((Decimal(repr(value)) for value in told), Decimal()),
        buckets=Explicit(limits, tuple(counts)),
        least=min(told) if extremes else None,
        most=max(told) if extremes else None,
        unit=Decimal(1000),
        inverse=False,
    )


def exponential_of(told: list[float], scale: int) -> Values:
    indexes = Counter(math.ceil(math.ldexp(math.log2(value), scale)) - 1 for value in told)
    first = min(indexes)
    counts = tuple(indexes[index] for index in range(first, max(indexes) + 1))
    return replace(values_of(told), buckets=Exponential(scale, 0, 0.0, first, counts))


@given(samples, bounds, st.booleans())
def test_every_value_counts_once_and_in_its_bucket(
    told: list[float], limits: tuple[float, ...], extremes: bool
) -> None:
    values = values_of(told, limits, extremes=extremes)
    made = contribution_of(values)
    assert made.count == made.histogram.count == len(told)
    assert made.total == (values.total or 0) * 1000
    edges = [0.0, *limits, math.inf]
    assert isinstance(values.buckets, Explicit)
    for low, high, count in zip(edges, edges[1:], values.buckets.counts, strict=False):
        within = range(index_of(low * 1000 * (1 - ROUNDING)), index_of(min(high, 1e12) * 1000 * (1 + ROUNDING)) + 1)
        found = sum(number for index, number in made.histogram.counts.items() if index in within)
        # An index on an edge may hold values of two buckets; what is above all bounds is told at the highest.
        assert found >= (count if high < math.inf else 0)


@given(samples, st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_off_by_the_width_of_its_bucket_at_most(told: list[float], share: float) -> None:
    found = contribution_of(values_of(told)).histogram.quantile(share)
    assert found is not None
    ordered = sorted(told)
    exact = ordered[max(math.ceil(share * len(told)), 1) - 1]
    place = sum(exact > limit for limit in otlp.BOUNDS)
    low = otlp.BOUNDS[place - 1] if place else 0.0
    high = otlp.BOUNDS[place] if place < len(otlp.BOUNDS) else max(told)
    assert low * 1000 * (1 - RELATIVE_ERROR - ROUNDING) <= found <= high * 1000 * (1 + RELATIVE_ERROR + ROUNDING)


@settings(deadline=None)
@given(samples, st.integers(6, 8), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_fine_exponential_buckets_lose_next_to_nothing(told: list[float], scale: int, share: float) -> None:
    found = contribution_of(exponential_of(told, scale)).histogram.quantile(share)
    assert found is not None
    exact = sorted(told)[max(math.ceil(share * len(told)), 1) - 1] * 1000
    assert abs(found - exact) <= exact * 0.0165


@given(samples, st.integers(-10, 5))
def test_coarse_exponential_buckets_keep_counts_and_sums(told: list[float], scale: int) -> None:
    values = exponential_of(told, scale)
    made = contribution_of(values)
    assert made.histogram.count == len(told)
    assert made.total == (values.total or 0) * 1000
    assert float(made.total_sq) * len(told) >= float(made.total) ** 2 * (1 - ROUNDING)


@pytest.mark.parametrize(("median", "sigma"), [(0.3, 0.3), (0.9, 0.5), (2.0, 0.6), (3.6, 0.2), (5.0, 1.0)])
def test_log_normal_latencies_come_out_nearly_as_they_were(median: float, sigma: float) -> None:
    normal = NormalDist(math.log(median), sigma)
    told = [math.exp(normal.inv_cdf((n + 0.5) / 5000)) for n in range(5000)]
    made = contribution_of(values_of(told))
    logs = [math.log(value_of(index) / 1000) for index, count in made.histogram.counts.items() for _ in range(count)]
    # What comparisons of models are made of: the mean of the logarithms, and their variance.
    assert fmean(logs) == pytest.approx(normal.mean, abs=0.02)
    assert pstdev(logs) == pytest.approx(sigma, rel=0.25)
    assert float(made.total_sq) / 1e6 == pytest.approx(sum(value * value for value in told), rel=0.1)
    for share in (0.5, 0.9, 0.95):
        assert (made.histogram.quantile(share) or 0) / 1000 == pytest.approx(told[int(share * 5000)], rel=0.13)


@given(seconds)
def test_one_value_is_known_exactly(value: float) -> None:
    made = contribution_of(values_of([value], extremes=False))
    assert made.total_sq == pytest.approx(made.total * made.total)
    assert made.histogram.quantile(0.5) == pytest.approx(value * 1000, rel=RELATIVE_ERROR * 1.01)


def test_values_of_one_bucket_lie_about_their_mean() -> None:
    # All in (5.12, 10.24], near its end.
    values = values_of([9.9, 9.9, 10.0, 10.0], extremes=False)
    made = contribution_of(values).histogram
    assert made.quantile(0.0) is not None
    assert 9_600 <= (made.quantile(0.0) or 0) <= (made.quantile(1.0) or 0) <= 10_300


def test_values_above_all_bounds_are_told_at_the_highest_where_no_greatest_is() -> None:
    told = [1.0, 100.0, 300.0]
    without = contribution_of(values_of(told, extremes=False)).histogram
    assert without.quantile(1.0) == pytest.approx(81_920, rel=0.01)
    assert (contribution_of(values_of(told)).histogram.quantile(1.0) or 0) > 200_000


def test_seconds_for_a_token_become_tokens_in_a_second() -> None:
    values = replace(values_of([0.02, 0.025]), unit=Decimal(1), inverse=True)
    made = contribution_of(values)
    assert made.count == made.histogram.count == 2
    assert 40 * 0.99 <= (made.histogram.quantile(0.0) or 0) <= (made.histogram.quantile(1.0) or 0) <= 50 * 1.01
    assert 80 <= float(made.total) <= 100
    lowest = contribution_of(
        replace(values_of([0.004] * 9, (0.01, 0.1), extremes=False), inverse=True, unit=Decimal(1), total=None)
    )
    assert (lowest.histogram.quantile(1.0) or 0) <= 200 * 1.01


def test_outermost_buckets_alone() -> None:
    made = contribution_of(values_of([0.5, 0.6, 7.0], (1.0,), extremes=False)).histogram
    assert (made.count, made.quantile(1.0)) == (3, pytest.approx(1000, rel=0.01))
    assert (made.quantile(0.5) or 0) <= 1000


def test_no_value_is_beyond_what_an_execution_may_be() -> None:
    made = contribution_of(values_of([1e14, 3e14], (1e-300, 1e308))).histogram
    assert (made.count, made.quantile(1.0)) == (2, pytest.approx(1e9, rel=0.01))


def test_zeros_and_a_histogram_without_buckets() -> None:
    zeros = Values(3, Decimal(0), Exponential(5, 3, 0.0, 0, ()), None, None, Decimal(1000), False)
    made = contribution_of(zeros)
    assert (made.total, made.total_sq, value_of(*made.histogram.counts)) == (0, 0, 0.0)
    bare = Values(4, Decimal(8), Explicit((), (4,)), 1.0, 4.0, Decimal(1000), False)
    found = contribution_of(bare).histogram
    assert found.count == 4
    assert 1_000 * 0.99 <= (found.quantile(0) or 0) <= (found.quantile(1) or 0) <= 3_000 * 1.01


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 10**12), rise | st.none())
def test_spreading_keeps_counts_order_and_bounds(a: float, b: float, count: int, rise: Rise | None) -> None:
    low, high = min(a, b), max(a, b)
    if rise is not None:
        low, high = max(low, 1e-9), max(high, 1e-9)
    placed = list(spread(Span(low, high, count, rise)))
    assert sum(number for _, number in placed) == count
    assert all(number > 0 for _, number in placed)
    found = [value for value, _ in placed]
    assert found == sorted(found)
    assert all(low * (1 - ROUNDING) <= value <= high * (1 + ROUNDING) for value in found)
    assert len(placed) <= 24
