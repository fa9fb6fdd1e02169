"""Histograms: within their error of the exact percentiles, and the same whatever way they came together."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.metrics.histogram import BASE, LEAST, RELATIVE_ERROR, ZERO_INDEX, Histogram, index_of, value_of

SHARES = (0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
# What rounding of the logarithm may add to the bound.
ROUNDING = 1e-9

magnitudes = st.floats(min_value=LEAST, max_value=1e15)
latencies = st.floats(min_value=0.001, max_value=3.6e6)
samples = st.lists(magnitudes | latencies | st.integers(1, 100_000).map(float), min_size=1, max_size=200)


def exact(values: list[float], share: float) -> float:
    """The percentile by nearest rank, from all values."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def test_the_error_is_below_one_percent() -> None:
    assert RELATIVE_ERROR < 0.00542


@given(samples, st.sampled_from(SHARES) | st.floats(0, 1))
def test_every_percentile_is_within_the_error_of_the_exact_one(values: list[float], share: float) -> None:
    found = Histogram.of(values).quantile(share)
    assert found is not None
    # A product such as 0.07 * 100 is not quite a rank: both neighbours are right then.
    ranks = {max(math.ceil(share * len(values) + slack), 1) for slack in (-1e-9, 0, 1e-9)}
    near = [sorted(values)[min(rank, len(values)) - 1] for rank in ranks]
    assert any(abs(found - value) <= value * (RELATIVE_ERROR + ROUNDING) for value in near)


@given(st.lists(samples, min_size=1, max_size=5))
def test_merging_is_counting_all_together(parts: list[list[float]]) -> None:
    merged = Histogram()
    for part in parts:
        merged = merged.merge(Histogram.of(part))
    assert merged == Histogram.of([value for part in parts for value in part])
    assert merged.count == sum(map(len, parts))
    assert Histogram.from_arrays(*merged.arrays()) == merged


@given(st.dictionaries(st.integers(-639, 3900) | st.just(ZERO_INDEX), st.integers(1, 999_999_999_999), max_size=40))
def test_the_packed_form_holds_every_bucket(counts: dict[int, int]) -> None:
    # Bucket i begins at 10^(12 * (i - 576)); what counts as 0 is at -640.
    places = {max(index, -640): count for index, count in counts.items()}
    above = "".join(f"{places.get(index, 0):012d}" for index in range(3900, 575, -1)).lstrip("0") or "0"
    below = "".join(f"{places.get(index, 0):012d}" for index in range(575, -641, -1))
    assert Histogram.from_packed(f"{above}.{below}") == Histogram(counts)
    assert Histogram.from_packed(f"{above}.{below.rstrip('0')}".rstrip(".")) == Histogram(counts)


@given(samples, st.floats(0.0005, 5.0))
def test_logarithms_are_those_of_the_values_that_stand_for_buckets(values: list[float], least: float) -> None:
    logs = [math.log(max(value_of(index_of(value)), least)) for value in values]
    found = Histogram.of(values).log_moments(least)
    assert found.count == len(logs)
    assert (found.total, found.square_total) == pytest.approx((math.fsum(logs), math.fsum(log * log for log in logs)))


@given(magnitudes)
def test_a_value_is_in_its_bucket(value: float) -> None:
    index = index_of(value)
    assert BASE**index * (1 - ROUNDING) <= value <= BASE ** (index + 1) * (1 + ROUNDING)
    assert value_of(index) < LEAST or index_of(value_of(index)) == index


def test_bounds_are_inclusive_above_as_opentelemetry_has_it() -> None:
    assert [index_of(value) for value in (0.5, 1.0, 2.0, 4.0)] == [-65, -1, 63, 127]


def test_zero_has_a_bucket_of_its_own() -> None:
    histogram = Histogram.of([0.0, LEAST / 2, 5.0])
    assert histogram.counts[ZERO_INDEX] == 2
    assert histogram.quantile(0.5) == 0.0
    assert histogram.quantiles((1.0, 0.5)) == [pytest.approx(5.0, rel=RELATIVE_ERROR), 0.0]


def test_nothing_has_no_percentile() -> None:
    assert Histogram().quantiles((0.5, 0.9)) == [None, None]
    assert Histogram.from_arrays(None, None).count == 0


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_what_is_no_magnitude_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        index_of(value)
    with pytest.raises(ValueError, match="quantile"):
        Histogram.of([1.0]).quantile(value)
