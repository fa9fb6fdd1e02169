"""Idempotency-Key: a quoted string, or bare text."""

from __future__ import annotations

import pytest

from tasks.errors import ValidationFailed
from webapp.hooks.idempotency import delivery_id, item_delivery_id


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("abc", "abc"),
        ('"abc"', "abc"),
        (r'"a\"b\\c"', r'a"b\c'),
        ("a b", "a b"),
        ('a"b', 'a"b'),
    ],
)
def test_it_is_unquoted(header: str | None, expected: str | None) -> None:
    assert delivery_id(header) == expected


@pytest.mark.parametrize("header", ['"', '""', '"a', '"a"b', r'"a\b"', '"a";p=1'])
def test_half_quoted_text_is_refused(header: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        delivery_id(header)
    assert caught.value.errors[0].pointer == "/Idempotency-Key"


def test_items_of_a_batch_have_ids_that_no_header_can_name() -> None:
    assert item_delivery_id(None, 3) is None
    ids = {item_delivery_id("k", index) for index in range(3)}
    assert len(ids) == 3
    assert not any(item.isascii() for item in ids if item)
