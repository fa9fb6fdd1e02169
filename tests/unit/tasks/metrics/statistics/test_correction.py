"""Holm's correction: the worked example, and the family-wise error that it promises."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.metrics.statistics.correction import holm


def test_an_example() -> None:
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_order_is_kept_and_nothing_gets_smaller(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(given <= made <= 1.0 for given, made in zip(p_values, adjusted, strict=True))
    by_given = [made for _, made in sorted(zip(p_values, adjusted, strict=True))]
    assert by_given == sorted(by_given)


def test_one_false_call_among_many_is_as_rare_as_promised() -> None:
    source = random.Random(3)
    rounds = 4_000
    wrong = sum(min(holm([source.random() for _ in range(24)])) <= 0.05 for _ in range(rounds))
    assert wrong / rounds == pytest.approx(0.05, abs=0.015)
