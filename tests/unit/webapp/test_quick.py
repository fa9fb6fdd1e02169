"""The quick way of reading an event agrees with the schema on everything that it does not leave to it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from tasks.hooks.model import NewHook
from webapp.hooks.quick import event_of
from webapp.hooks.schemas import HookSchema

SCHEMA = HookSchema()
HOOK = {"source": "s", "action": "a", "resource": "r", "resource_id": "i"}


def read(value: Any, key: str | None = None) -> NewHook | None:
    return event_of(orjson.dumps(value), key, 64)


texts = st.text(max_size=4) | st.sampled_from(["a b", " a", "a ", "1.0.0", "x" * 201, "a\n", "é", ""])
values = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | texts | st.lists(texts, max_size=2)
names = st.sampled_from([*SCHEMA.fields, "unknown", "delivery_id"])


@given(st.dictionaries(names, values | st.dictionaries(texts, values, max_size=3), max_size=12), st.booleans())
def test_what_it_passes_the_schema_passes_with_the_same_result(fields: dict[str, Any], whole: bool) -> None:
    value = {**HOOK, **fields} if whole else fields
    hook = read(value)
    if hook is None:
        return
    assert SCHEMA.load(value) == hook


@given(st.fixed_dictionaries(dict.fromkeys(HOOK, texts)))
def test_it_passes_every_plain_event_that_the_schema_passes(value: dict[str, str]) -> None:
    try:
        expected = SCHEMA.load(value)
    except ValidationError:
        expected = None
    assert read(value) == expected


def test_an_idempotency_key_is_the_delivery_id() -> None:
    hook = read(HOOK, "start-1")
    assert hook is not None
    assert hook.delivery_id == "start-1"


@pytest.mark.parametrize("key", ['"quoted"', " ", "x" * 256, ""])
def test_keys_out_of_the_ordinary_are_left_to_the_schema(key: str) -> None:
    assert read(HOOK, key) is None


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'"a"', b"null", b'{"source": "a\\u0000"}', b"[" * 70 + b"]" * 70, b"\xff"]
)
def test_bad_texts_are_left_to_the_schema(raw: bytes) -> None:
    assert event_of(raw, None, 64) is None
