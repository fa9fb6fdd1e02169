"""The curve through the bounds is SciPy's monotone cubic, and never goes down."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from tasks.metrics.otlp.shape import STRAIGHT, Rise, rises

PLACES = [place / 16 for place in range(17)]
buckets = st.lists(st.tuples(st.floats(0.01, 3), st.integers(0, 1000)), min_size=2, max_size=12)


@given(buckets)
def test_it_is_the_curve_of_scipy(told: list[tuple[float, int]]) -> None:
    widths, counts = zip(*told, strict=True)
    bounds, below = list(accumulate(widths, initial=0.0)), list(accumulate(counts, initial=0))
    curve = PchipInterpolator(bounds, below)
    for number, rise in enumerate(rises(widths, counts)):
        for place in PLACES:
            expected = float(curve(bounds[number] + place * widths[number]))
            assert below[number] + counts[number] * rise.at(place) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(buckets)
def test_it_never_goes_down(told: list[tuple[float, int]]) -> None:
    widths, counts = zip(*told, strict=True)
    for rise in rises(widths, counts):
        found = [rise.at(place) for place in PLACES]
        assert found == pytest.approx(sorted(found), abs=1e-9)
        assert (found[0], found[-1]) == pytest.approx((0, 1), abs=1e-9)


def test_one_bucket_is_straight() -> None:
    assert rises([], []) == []
    assert rises([2.0], [5]) == [STRAIGHT] == [Rise(1, 1)]
    assert [STRAIGHT.at(place) for place in PLACES] == pytest.approx(PLACES)
