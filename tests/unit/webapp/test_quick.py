"""The quick way of reading an event agrees with the schema on everything that it does not leave to it."""

from __future__ import annotations

import io
from typing import Any

import orjson
import pytest
from flask import Request
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from tasks.hooks.model import NewHook
from webapp.hooks.quick import event_of
from webapp.hooks.schemas import HookSchema

SCHEMA = HookSchema()
HOOK = {"source": "s", "action": "a", "resource": "r", "resource_id": "i"}


def request_of(raw: bytes, **environ: str) -> Request:
    made = Request(
        {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/hooks",
            "wsgi.input": io.BytesIO(raw),
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(raw)),
            **environ,
        }
    )
    made.max_content_length = 1 << 20
    return made


def read(value: Any, **environ: str) -> NewHook | None:
    return event_of(request_of(orjson.dumps(value), **environ), 64)


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
    hook = read(HOOK, HTTP_IDEMPOTENCY_KEY="start-1")
    assert hook is not None
    assert hook.delivery_id == "start-1"


@pytest.mark.parametrize(
    "environ",
    [
        {"CONTENT_TYPE": "application/json; charset=utf-16"},
        {"CONTENT_TYPE": "text/plain"},
        {"CONTENT_LENGTH": ""},
        {"CONTENT_LENGTH": str(2 << 20)},
        {"HTTP_CONTENT_ENCODING": "gzip"},
        {"HTTP_IDEMPOTENCY_KEY": '"quoted"'},
        {"HTTP_IDEMPOTENCY_KEY": " "},
        {"HTTP_IDEMPOTENCY_KEY": "x" * 256},
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_the_schema(environ: dict[str, str]) -> None:
    assert read(HOOK, **environ) is None


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'"a"', b"null", b'{"source": "a\\u0000"}', b"[" * 70 + b"]" * 70, b"\xff"]
)
def test_bad_texts_are_left_to_the_schema(raw: bytes) -> None:
    assert event_of(request_of(raw), 64) is None
