"""Strict JSON: what passes can be stored and comes back unchanged."""

from __future__ import annotations

import json
from typing import Any

import orjson
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


WRITINGS: list[dict[str, Any]] = [{}, {"separators": (",", ":")}, {"indent": 1, "separators": (" ,", "\t: ")}]


@given(
    st.dictionaries(st.text(max_size=3), VALUES, max_size=3), VALUES, st.text(max_size=3), st.sampled_from(WRITINGS)
)
def test_a_name_that_stands_twice_is_refused_wherever_it_stands(
    others: dict[str, Any], inner: Any, name: str, writing: dict[str, Any]
) -> None:
    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, **writing)

    one = f"{text(name)} : {text(inner)}"
    raw = f'{{"a/b": [0, {{{one}, "other name": {text(others)}, {one}}}]}}'.encode(errors="replace")
    with pytest.raises((ValidationFailed, MalformedInput)) as caught:
        read(raw)
    if isinstance(caught.value, ValidationFailed) and not {"NUL", "64 bits"} & set(caught.value.detail.split("the ")):
        assert caught.value.errors[0].pointer.startswith("/a~1b/1/")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1, "a": 1}',
        b'{"a" : 1, "\\u0061" : "\\u0022:"}',
        b'{"a":"\\"\\u003a","a":2}',
        b'{"x": {"a": 1}, "a": [{"b": {}, "b": {}}]}',
        b"[" * 300 + b'{"a":1,"a":2}' + b"]" * 300,
    ],
)
def test_repeats_are_found_behind_escapes_and_depth(raw: bytes) -> None:
    assert body.repeats_names(raw, orjson.loads(raw))
    with pytest.raises(ValidationFailed, match="stands twice"):
        body.parse(raw)


def test_what_looks_like_a_repeat_and_is_none_passes() -> None:
    raw = b'{"a": "\\" : \\" :", "b": {"a": "{\\"a\\":1,\\"a\\":2}"}}'
    assert body.parse(raw) == json.loads(raw)


def test_a_text_too_deep_for_the_exact_reader_is_refused() -> None:
    with pytest.raises(MalformedInput, match="too deep"):
        body.parse(b"[" * 1000 + b"1" * 30 + b"]" * 1000)


def types_in(value: Any) -> set[type]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {type(value)}.union(*map(types_in, inner))


@pytest.mark.parametrize("raw", [rb'{"a": [{"b": "\u00e9"}]}', b'{"a": [{"b": "12345678901234567890"}]}'])
def test_what_has_to_be_looked_at_twice_is_plain_too(raw: bytes) -> None:
    """Who reads it, such as a workflow's definition, may ask for a dict and nothing else."""
    assert types_in(read(raw)) == {dict, list, str}


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"\xff", "line 1, column 1"),
        ('{"a": "grün",\n "b": "é'.encode() + b'\xff"}', "line 2, column 9"),
        (b'{"a": "\xed\xa0\x80"}', "line 1, column 8"),
        (b'{"a": "\xe2\x82', "line 1, column 8"),
    ],
)
def test_the_place_of_what_is_not_utf_8_is_told(raw: bytes, place: str) -> None:
    with pytest.raises(MalformedInput) as caught:
        body.parse(raw)
    assert "UTF-8" in caught.value.detail
    assert caught.value.errors[0].detail.endswith(place)
