"""Cursors: opaque, and refused when they are not ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import ValidationFailed
from tasks.ids import new_id
from tasks.paging import MAX_LIMIT, checked_limit, decode_cursor, decode_id, encode_cursor

# What PostgreSQL can hold: no NUL, no half of a surrogate pair.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=["\x00"]))


@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_a_cursor_says_what_was_put_in(position: list[str]) -> None:
    assert list(decode_cursor(encode_cursor(*position), len(position))) == position


@given(st.text())
def test_any_other_text_is_refused_or_a_position(text: str) -> None:
    try:
        position = decode_cursor(text, 1)
    except ValidationFailed:
        return
    assert len(position) == 1


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(ValidationFailed):
        decode_cursor(encode_cursor("a", "b"), 1)


def test_a_cursor_with_what_no_text_can_hold_is_refused() -> None:
    with pytest.raises(ValidationFailed):
        decode_cursor(encode_cursor("a\x00"), 1)


def test_a_cursor_of_ids_holds_one() -> None:
    made = new_id()
    assert decode_id(encode_cursor(str(made))) == made
    with pytest.raises(ValidationFailed):
        decode_id(encode_cursor("no id"))


def test_a_page_has_a_length() -> None:
    assert [checked_limit(limit) for limit in (1, MAX_LIMIT)] == [1, MAX_LIMIT]
    for limit in (0, -1, MAX_LIMIT + 1):
        with pytest.raises(ValidationFailed):
            checked_limit(limit)
