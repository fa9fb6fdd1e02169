from __future__ import annotations

import time
from typing import Any

import pytest

from tasks.workflows.definition.expect import misses
from tasks.workflows.definition.json_schemas import compile_schema, failures
from tasks.workflows.definition.model import Expectation


@pytest.mark.parametrize(
    ("expect", "output", "expected"),
    [
        (Expectation(), None, []),
        (Expectation(schema={"type": "object"}), {}, []),
        (Expectation(schema={"properties": {"a": {"type": "integer"}}}), {"a": "x"}, ["schema: /a"]),
        (Expectation(schema=False), 1, ["schema"]),
        (Expectation(required=("a", "b.c")), {"a": None, "b": {"c": 0}}, []),
        (Expectation(required=("a", "b.c")), {"b": 1}, ["'a' is missing", "'b.c' is missing"]),
        (Expectation(required=("a",)), "a", ["'a' is missing"]),
        (Expectation(pattern="^ok"), "ok then", []),
        (Expectation(pattern="^ok$"), "not ok", ["nowhere"]),
        (Expectation(pattern='"a":1'), {"a": 1}, []),
        (Expectation(min_length=1), None, ["at least 1"]),
        (Expectation(min_length=3, max_length=3), "abc", []),
        (Expectation(max_length=3), "abcd", ["at most 3"]),
        (Expectation(required_words=("Straße", "b")), "STRASSE B", []),
        (Expectation(required_words=("x",), forbidden_words=("SORRY",)), "sorry", ["'x' is not", "'SORRY' is in"]),
    ],
)
def test_misses(expect: Expectation, output: Any, expected: list[str]) -> None:
    found = misses(expect, output)
    assert len(found) == len(expected)
    for says, miss in zip(expected, found, strict=True):
        assert says in miss


def test_a_pattern_does_not_backtrack() -> None:
    began = time.perf_counter()
    assert misses(Expectation(pattern="(a+)+$"), "a" * 100_000 + "b")
    assert time.perf_counter() - began < 2


def chained(links: int, word: str = "allOf") -> dict[str, Any]:
    definitions: dict[str, Any] = {
        f"d{i}": {word: [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}"}]} for i in range(links)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{links}": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (chained(40), "more than 10000 parts"),
        (chained(40, "oneOf"), "more than 10000 parts"),
        ({"$ref": "#"}, "leads back"),
        ({"properties": {"a": {"$ref": "#"}}}, "leads back"),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}}, "leads back"),
        ({"$ref": "http://127.0.0.1/x"}, "leads outside"),
        ({"$ref": "other.json"}, "leads outside"),
        ({"$ref": "file:///etc/passwd"}, "leads outside"),
        ({"$ref": "#/nope"}, "leads nowhere"),
        ({"$ref": "#/allOf/7", "allOf": [{}]}, "leads nowhere"),
        ({"$dynamicRef": "#x"}, "only '$ref'"),
        ({"items": {"$id": "http://x/y"}}, "no '$id' inside"),
        ({"type": "strin"}, "strin"),
        ({"pattern": "("}, "regex"),
        ({"pattern": "(?=a)b"}, "regex"),
    ],
)
def test_schemas_that_are_refused(schema: dict[str, Any], says: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ValueError, match=says.replace("$", r"\$")):
        compile_schema(schema)
    assert time.perf_counter() - began < 1


def test_schemas_with_references_of_their_own() -> None:
    schema = {
        "$id": "http://example.org/x",
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"a": {"$ref": "#/$defs/p~1q"}, "b": {"$ref": "#/$defs/p~1q"}},
        "$defs": {"p/q": {"type": "integer"}},
    }
    assert failures(schema, {"a": 1, "b": 2}) == []
    assert failures(schema, {"a": "x"}) == ['/a: "x" is not of type "integer"']
    assert failures({"items": {"type": "integer"}}, ["x"] * 100)[-1] == "and more"
    assert compile_schema(schema) is compile_schema(dict(schema))
    assert failures(True, 1) == []
