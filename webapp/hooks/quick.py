"""Reads a native event without marshmallow, where it is surely valid: the way that nearly every request goes.

``event_of`` passes a part of what ``HookSchema`` passes, with the same result, and refuses nothing: what it is not
sure of is for the schema, which also words the errors. A test holds the two against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from tasks.hooks.model import NewHook
from webapp import body
from webapp.hooks.schemas import CORRELATION, KEY, NAME, WORD

_name = re.compile(NAME).fullmatch
_word = re.compile(WORD).fullmatch
_correlation = re.compile(CORRELATION).fullmatch
_key = re.compile(KEY).fullmatch
_FIELDS = frozenset(NewHook.__dataclass_fields__) - {"delivery_id"}
_NO_DATA: dict[str, Any] = {}


def event_of(raw: bytes, key: str | None, max_depth: int) -> NewHook | None:
    """The event of a body, with its delivery id, the bare Idempotency-Key; None where only the schema can tell."""
    if (key is not None and (key[:1] == '"' or not _key(key))) or body.suspicious(raw, max_depth):
        return None
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return None if body.repeats_names(raw, value) else _hook(value, key)


def _hook(value: Any, key: str | None) -> NewHook | None:
    if type(value) is not dict or not value.keys() <= _FIELDS:
        return None
    get: Callable[..., Any] = value.get
    source, action, resource, resource_id = get("source"), get("action"), get("resource"), get("resource_id")
    version, environment = get("version", "1.0.0"), get("environment", "development")
    correlation_id, data = get("correlation_id"), get("data", _NO_DATA)
    try:
        if not (
            _name(source)
            and _name(action)
            and _name(resource)
            and _name(resource_id)
            and _word(version)
            and _word(environment)
            and (correlation_id is None or _correlation(correlation_id))
            and type(data) is dict
        ):
            return None
    except TypeError:  # one of them is no text
        return None
    if "previous_state" in value or "current_state" in value:
        return None
    return NewHook(source, action, resource, resource_id, version, environment, correlation_id, data, None, None, key)
