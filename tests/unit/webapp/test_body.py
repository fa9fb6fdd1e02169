"""Strict JSON: what passes can be stored and comes back unchanged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import MalformedInput, ValidationFailed
from webapp import body

DEPTH = 8
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def may_pass(value: Any) -> bool:
    """The rule, said plainly."""
    if isinstance(value, dict):
        return all("\x00" not in key and may_pass(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(may_pass, value))
    if isinstance(value, str):
        return "\x00" not in value
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    return value not in (float("inf"), float("-inf"))


def read(raw: bytes) -> Any:
    value = body.parse(raw)
    if body.suspicious(raw, DEPTH):
        body.check(value, DEPTH)
    return value


@given(VALUES)
def test_what_passes_comes_back_unchanged_and_the_rest_is_refused(value: Any) -> None:
    raw = json.dumps(value).encode()
    if may_pass(value) and depth_of(value) <= DEPTH:
        assert read(raw) == value
    else:
        with pytest.raises((ValidationFailed, MalformedInput)):
            read(raw)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        read(raw)
    except (MalformedInput, ValidationFailed) as problem:
        assert problem.errors  # noqa: PT017


def test_depth_is_counted_by_the_deepest_value_not_by_brackets() -> None:
    wide = json.dumps([[] for _ in range(100)]).encode()
    assert len(read(wide)) == 100
    assert read(b"[" * DEPTH + b"]" * DEPTH)
    with pytest.raises(ValidationFailed) as caught:
        read(b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1))
    assert caught.value.errors[0].pointer == "/0" * DEPTH


def test_pointers_are_escaped_and_bounded() -> None:
    with pytest.raises(ValidationFailed) as caught:
        read(b'{"a/b~c":["x\\u0000"]}')
    assert caught.value.errors[0].pointer == "/a~1b~0c/0"
    with pytest.raises(ValidationFailed) as caught:
        read(json.dumps({"k" * 300: {"l" * 300: "\x00"}}).encode())
    assert caught.value.errors[0].pointer == "/" + "k" * 300


def test_a_long_number_in_a_text_is_no_number() -> None:
    assert read(b'{"card":"12345678901234567890123"}') == {"card": "12345678901234567890123"}


def test_long_fractions_are_floats() -> None:
    assert read(b"[0.12345678901234567890123, 1e300, 12345678901234567890123.5]")[1] == 1e300
