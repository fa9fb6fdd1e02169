"""Correlation ids: bad ones are replaced, bound ones are restored."""

from __future__ import annotations

import pytest

from tasks import correlation


@pytest.mark.parametrize("value", ["a", "4bf92f3577b34da6a3ce929d0e0e4736", "x/y:z._-1", "a" * 128])
def test_good_ids_are_taken(value: str) -> None:
    assert correlation.accept(value) == value


@pytest.mark.parametrize("value", [None, "", "a" * 129, "two words", "line\nbreak", "é", "a\x00"])
def test_bad_ids_are_replaced_by_fresh_ones(value: str | None) -> None:
    assert correlation.accept(value) != value
    assert correlation.is_valid(correlation.accept(value))


def test_binding_restores_what_was_bound() -> None:
    with correlation.bind("outer"):
        with correlation.bind("inner"):
            assert correlation.current() == "inner"
        assert correlation.current() == "outer"
    assert correlation.current() is None
