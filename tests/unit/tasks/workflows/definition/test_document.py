from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import TooLarge
from tasks.workflows.definition.document import BYTES, read_document
from tasks.workflows.definition.mistakes import InvalidDefinition, Mistake, Report


def read(source: Any) -> Any:
    """The value; raises what a definition would for all mistakes together."""
    report = Report()
    document = read_document(source, report)
    if report.found:
        raise document.refusal(report)
    return document.value


def mistakes(source: Any) -> tuple[Mistake, ...]:
    with pytest.raises(InvalidDefinition) as caught:
        read(source)
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1", {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ("{a: 1, b: [x, 'y']}", {"a": 1, "b": ["x", "y"]}),
        ("on: yes", {"on": "yes"}),
        ("a: [~, null, '', true, True, no, 0o17, 0x1f, 017, 1.5, 1e+3, 1.0e3, 12e45, .5, -2, 1:30]",
         {"a": [None, None, "", True, True, "no", 15, 31, 17, 1.5, 1000.0, 1000.0, "12e45", 0.5, -2, "1:30"]}),
        ("a: 2024-01-01\nb: 2024-01-01T00:00:00Z", {"a": "2024-01-01", "b": "2024-01-01T00:00:00Z"}),
        ("200: ok\ntrue: t\n~: n", {"200": "ok", "true": "t", "~": "n"}),
        ("a: !!str 1\nb: !!int '2'\nc: !!float 3\nd: ! 4", {"a": "1", "b": 2, "c": 3.0, "d": "4"}),
        ("!!map {e: !!seq []}", {"e": []}),
        ('{"a": 1,}', {"a": 1}),
        ("a: |\n  x\n  y\nb: >\n  x\n  y", {"a": "x\ny\n", "b": "x y"}),
        ("a: &x {k: [1]}\nb: *x\nc: [*x, *x]", {"a": {"k": [1]}, "b": {"k": [1]}, "c": [{"k": [1]}, {"k": [1]}]}),
        ("a: &k key\n*k : 1", {"a": "key", "key": 1}),
        ('a: "\\u00e9\\U0001f600"', {"a": "é😀"}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        ("# nothing", None),
        ("", None),
    ],
)  # fmt: skip
def test_what_is_read(text: Any, expected: Any) -> None:
    value = read(text)
    assert value == expected
    assert orjson.dumps(value) == orjson.dumps(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\nb:\n  c: 1\n  c: 2", [("/a", 2, 1, "twice"), ("/b/c", 5, 3, "twice")]),
        ('{"a": 1,\n "a": [{"b": 1, "b": 2}]}', [("/a", 2, 2, "twice"), ("/a/0/b", 2, 17, "twice")]),
        ("a: [1\nb: 2", [("", 2, 2, "not YAML")]),
        ("a: 'x", [("", 1, 6, "not YAML")]),
        ("a: 99999999999999999999999999999999999999999999", [("/a", 1, 1, "JSON")]),
        ('{"a": tru', [("", 1, 7, "not JSON")]),
        ("a: *x", [("", 1, 4, "no anchor")]),
        ("a: &x [*x]", [("", 1, 8, "no anchor")]),
        ("a: 1\n---\nb: 2", [("", 2, 1, "second document")]),
        ("? [a]\n: 1", [("", 1, 3, "a key is a text")]),
        ("a: !!python/object:os.system x", [("/a", 1, 1, "tag")]),
        ("a: !!timestamp 2024-01-01\nb: !x {}", [("/a", 1, 1, "tag"), ("/b", 2, 1, "tag")]),
        ("a: !!int x", [("/a", 1, 1, "!!int")]),
        ("a: .inf\nb: .nan\nc: 1.0e999", [("/a", 1, 1, "JSON"), ("/b", 2, 1, "JSON"), ("/c", 3, 1, "JSON")]),
        ("<<: {a: 1}", [("/<<", 1, 1, "merge")]),
        ("a: 99999999999999999999", [("/a", 1, 1, "64 bits")]),
        ('{"a": [99999999999999999999, 1e999]}', [("/a/0", 1, 8, "64 bits"), ("/a/1", 1, 30, "JSON")]),
        ('{"a": NaN,\n "b": [-Infinity], "c": {"d": 1, "d": 2}}',
         [("/a", 1, 2, "JSON"), ("/b/0", 2, 8, "JSON"), ("/c/d", 2, 34, "twice")]),
        ('{"a": ' + "9" * 5000 + ', "b": -' + "9" * 41 + "}", [("/a", 1, 2, "64 bits"), ("/b", 1, 5009, "64 bits")]),
        ('{"a":\n' + "[" * 50_000, [("", 2, 48, "deeper")]),
        ('{"a": "}]}",\n "b": ' + "[" * 5000 + "]" * 5000 + "}", [("", 2, 54, "deeper")]),
        ('a: "\\0"', [("/a", 1, 1, "NUL")]),
        ('{"a": "\\u0000", "b\\u0000": 1}', [("", 1, 1, "not allowed"), ("/a", 1, 2, "NUL")]),
        ('{"a": "\\ud800"}', [("/a", 1, 2, "surrogate")]),
        ("a: \x00", [("", 1, 4, "not YAML")]),
        ("# grün\nü: \x00", [("", 2, 4, "not YAML")]),
        (b"\xff", [("", 1, 1, "UTF-8")]),
        ("\ufeffä: ü\nö: ".encode() + b"\xff", [("", 2, 4, "UTF-8")]),
        ({"a": {1: 2}}, [("/a", None, None, "a key is a text")]),
        ({"a": [{1, 2}]}, [("/a/0", None, None, "set")]),
        ({"a/b": {"~": float("inf")}}, [("/a~1b/~0", None, None, "JSON")]),
    ],
)  # fmt: skip
def test_what_is_refused_and_where(text: Any, expected: list[tuple[str, int | None, int | None, str]]) -> None:
    found = mistakes(text)
    assert [(m.pointer, m.line, m.column) for m in found] == [place[:3] for place in expected]
    for mistake, (*_, says) in zip(found, expected, strict=True):
        assert says in mistake.detail


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "source",
    [
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]" for i in range(9)),
        "a: &a " + "x" * 100_000 + "\nb: [" + "*a, " * 1000 + "]",
        "[" * 5000 + "]" * 5000,
        "a:\n" + "".join(" " * i + "- \n" for i in range(1, 200)) + " " * 200 + "- x",
        '{"a":' * 50_000,
        '{"a":' * 5000 + "1" + "}" * 5000,
        json.dumps(deep(100)),
        deep(100),
        {"a": ["x" * 1_000_000] * 100},
        {"a": [[0] * 1000] * 2000},
        "a: " + "[" * 60 + "]" * 60,
        "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40,
    ],
)
def test_what_grows_or_is_too_deep_is_refused_soon(source: Any) -> None:
    began = time.perf_counter()
    assert mistakes(source)
    assert time.perf_counter() - began < 5


def test_a_text_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        read("a" * (BYTES + 1))


def test_more_mistakes_than_anyone_reads_are_counted() -> None:
    found = mistakes({"a": [float("nan")] * 3000})
    assert len(found) == 1001
    assert found[-1].detail == "and 2000 more mistakes"


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FLOATS | TEXTS | st.sampled_from(["on", "1", "~"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)
SYNTAX = st.text(st.sampled_from(list("{}[]:,-?&*!|>'\"# \n\tab10~.<%@`")), max_size=80)


@given(st.dictionaries(st.sampled_from(["a", "b", "on", "1"]), JSON, max_size=4))
@settings(deadline=None, max_examples=200)
def test_round_trip_by_every_form(value: dict[str, Any]) -> None:
    assert read(value) == value
    assert read(json.dumps(value)) == value
    assert read(json.dumps(value, indent=2, ensure_ascii=False).encode()) == value
    assert read(yaml.safe_dump(value, allow_unicode=True)) == value
    assert read(yaml.safe_dump(value, default_flow_style=True)) == value


@given(st.text(max_size=80) | SYNTAX | st.binary(max_size=40))
@settings(deadline=None, max_examples=500)
def test_any_text_is_read_or_refused(source: Any) -> None:
    try:
        value = read(source)
    except InvalidDefinition as error:
        found = error.mistakes
    else:
        found = ()
        orjson.dumps(value)
    for mistake in found:
        assert mistake.detail
        assert mistake.line is None or mistake.line >= 1


@given(JSON, st.data())
@settings(deadline=None, max_examples=200)
def test_every_place_of_a_text_is_found(value: Any, data: st.DataObject) -> None:
    whole = {"top": value}
    for text in (json.dumps(whole, indent=data.draw(st.sampled_from([None, 1]))), yaml.safe_dump(whole, width=1000)):
        report = Report()
        document = read_document(text, report)
        places = _places(whole)
        for place in places:
            report.add(place, "x")
        for mistake in document.refusal(report).mistakes:
            assert mistake.line is not None
            assert mistake.column is not None
            assert 1 <= mistake.line <= text.count("\n") + 1
            assert mistake.column <= len(text.split("\n")[mistake.line - 1]) + 1


def _places(value: Any, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(place for key, part in inner for place in _places(part, (*above, key)))]
