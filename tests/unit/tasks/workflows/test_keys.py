from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.workflows.keys import Keys, PlaceOf


@given(st.lists(st.text(min_size=1, max_size=5), unique=True))
def test_each_key_has_its_place_and_each_place_its_key(given: list[str]) -> None:
    keys = Keys(given)
    place_of = PlaceOf(keys)
    assert list(keys) == given == list(keys[:])
    assert keys == Keys(given)
    assert dict(place_of) == {key: place for place, key in enumerate(given)}
    for other in ("zz-not-there", ""):
        assert place_of.get(other) is None
        assert other not in place_of


@pytest.mark.parametrize("unknown", [2, -1])
def test_a_place_that_is_not_there_is_an_error(unknown: int) -> None:
    with pytest.raises(IndexError):
        Keys(["a", "b"])[unknown]
    with pytest.raises(KeyError):
        PlaceOf(Keys(["a", "b"]))["c"]
