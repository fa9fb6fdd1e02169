"""Student's t against SciPy, far into the tails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.metrics.statistics.student import incomplete_beta, t_quantile, t_tail


@given(st.floats(-40.0, 40.0), st.floats(0.5, 900_000.0))
def test_tails_are_those_of_scipy(t: float, df: float) -> None:
    assert t_tail(t, df) == pytest.approx(stats.t.sf(t, df), rel=1e-6, abs=1e-300)


@given(st.floats(1e-9, 0.999999), st.floats(0.5, 1e9))
def test_quantiles_are_those_of_scipy(probability: float, df: float) -> None:
    assert t_quantile(probability, df) == pytest.approx(stats.t.ppf(probability, df), rel=1e-5, abs=1e-9)


def test_the_table_that_every_textbook_prints() -> None:
    for df, quantile in ((1, 12.706), (2, 4.303), (10, 2.228), (30, 2.042), (120, 1.980)):
        assert t_quantile(0.975, df) == pytest.approx(quantile, abs=5e-4)


def test_the_edges() -> None:
    assert t_tail(float("inf"), 3) == 0.0
    assert t_tail(float("-inf"), 3) == 1.0
    assert incomplete_beta(0.0, 2.0, 3.0) == 0.0
    assert incomplete_beta(1.0, 2.0, 3.0) == 1.0
    for wrong in (0.0, 1.0):
        with pytest.raises(ValueError, match="between 0 and 1"):
            t_quantile(wrong, 5)
