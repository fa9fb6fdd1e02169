"""JSON Schemas from users: compiled without fetching anything, and refused where checking could take for ever.

A schema of 30 definitions, each of which refers to the next one twice, takes 12 s for one value (measured with
jsonschema-rs 0.60.3) and 2 times as long for each one more. So references are followed and counted here first.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from tasks.workflows.expressions.patterns import REGEX

PARTS = 10_000
_CACHED_BYTES = 20_000
_REFUSED = ("$dynamicRef", "$recursiveRef")


def compile_schema(schema: dict[str, Any] | bool) -> jsonschema_rs.Validator:
    """The validator of a schema. Equal ones that are not large come from a cache.

    Raises ValueError for what is no schema, refers outside itself, refers to itself in a circle, or has more than
    ``PARTS`` parts once its references are followed.
    """
    try:
        text = orjson.dumps(schema)
    except TypeError as error:
        # Such as an integer beyond 64 bits.
        raise ValueError(f"can't be written as JSON: {error}") from None
    return (_cached if len(text) <= _CACHED_BYTES else _compile)(text)


def failures(schema: dict[str, Any] | bool, value: Any, most: int = 20) -> list[str]:
    """What in the value does not fit the schema, as texts with JSON Pointers; nothing if all fits."""
    found: list[str] = []
    for error in compile_schema(schema).iter_errors(value):
        if len(found) == most:
            found.append("and more")
            break
        where = "".join(f"/{part}" for part in error.instance_path)
        found.append(f"{where or '/'}: {' '.join(error.message.split())[:200]}")
    return found


def _compile(text: bytes) -> jsonschema_rs.Validator:
    schema = orjson.loads(text)
    _count(schema)
    try:
        return jsonschema_rs.validator_for(schema, pattern_options=REGEX, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        message = getattr(error, "message", None) or str(error)
        raise ValueError(" ".join(str(message).split())[:300]) from None


_cached = lru_cache(maxsize=128)(_compile)


def _count(schema: Any) -> None:
    """Raises ValueError for references that are refused, or a schema that is too large when they are followed."""
    sizes: dict[int, int] = {}  # by identity of a part; 0 while it is being counted
    todo: list[tuple[Any, bool]] = [(schema, False)]
    while todo:
        part, counted = todo.pop()
        if counted:
            sizes[id(part)] = 1 + sum(_size(inner, sizes) for inner in _inner(part, schema))
            if sizes[id(part)] > PARTS:
                raise ValueError(f"more than {PARTS} parts, when its references are followed")
            continue
        if id(part) in sizes:
            if sizes[id(part)] == 0:
                raise ValueError("a reference leads back to where it stands")
            continue
        sizes[id(part)] = 0
        todo.append((part, True))
        todo += ((inner, False) for inner in _inner(part, schema) if type(inner) in (dict, list))


def _size(part: Any, sizes: dict[int, int]) -> int:
    return sizes[id(part)] if type(part) in (dict, list) else 1


def _inner(part: Any, schema: Any) -> list[Any]:
    """What belongs to a part: its items, its fields, and what it refers to."""
    if type(part) is not dict:
        return part if type(part) is list else []
    inner = list(part.values())
    reference = part.get("$ref")
    if type(reference) is str:
        inner.append(_target(reference, schema))
    if any(type(part.get(word)) is str for word in _REFUSED) or (type(part.get("$id")) is str and part is not schema):
        raise ValueError("only '$ref' to '#/…' is known, and no '$id' inside")
    return inner


def _target(reference: str, schema: Any) -> Any:
    if reference != "#" and not reference.startswith("#/"):
        raise ValueError(f"the reference {reference[:100]!r} leads outside; '#/…' does not")
    at = schema
    for key in reference.split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")
        if type(at) is dict and key in at:
            at = at[key]
        elif type(at) is list and key.isdecimal() and len(key) < 6 and int(key) < len(at):
            at = at[int(key)]
        else:
            raise ValueError(f"the reference {reference[:100]!r} leads nowhere")
    return at
