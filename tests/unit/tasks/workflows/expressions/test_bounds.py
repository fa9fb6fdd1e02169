"""Attacks: nothing takes long, takes much memory, or reaches Python."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.workflows.expressions import names
from tasks.workflows.expressions.errors import EvaluationError, ExpressionError, InvalidExpression, LimitExceeded
from tasks.workflows.expressions.expression import compile_expression
from tasks.workflows.expressions.functions import FUNCTIONS
from tasks.workflows.expressions.patterns import compile_pattern
from tasks.workflows.expressions.templates import compile_template

SECONDS = 3.0  # on a busy machine; alone each takes a tenth of that at most
BYTES = 60_000_000


def nested(element: str, start: str, times: int) -> str:
    for i in range(times):
        start = f"[{element.replace('x', f'x{i}')} for x{i} in {start}]"
    return start


VALUES: dict[str, Any] = {
    "input": {
        "text": "a" * 900_000,
        "list": list(range(100_000)),
        "texts": ["a" * 9_000 + str(i) for i in range(100)],
        "hundred": list(range(100)),
        "same": [["a" * 1000] * 100] * 2,
    }
}

SLOW = [
    "[a for a in input.list for b in input.list for c in input.list]",
    "[[[[d for d in input.hundred] for c in input.hundred] for b in input.hundred] for a in input.hundred]",
    "[a for a in input.list if input.list == input.list]",
    "[a for a in input.list if input.text == input.text + '']",
    "[a for a in input.list if a in input.list]",
    "[a for a in input.list if 'ab' in input.text]",
    "[a for a in input.list if matches(input.text, 'a+b')]",
    "[a for a in input.list if input.same[0] < 'a']",
    "matches(input.text, '(a+)+$')",
    "matches(input.text, '(a|aa)+$')",
    "matches(input.text, '(a?){50}a{50}b')",
    "[sorted(input.texts) for a in input.list]",
    "unique([[a] for a in input.list])",
    "[unique(input.list) for a in input.list]",
    "[max(input.texts) for a in input.list]",
]
LARGE = [
    "'a' * 1000000000",
    "[0] * 1000000000",
    "range(1000000000)",
    "len(range(9007199254740992))",
    "input.text + input.text",
    nested("x + x", "[input.text]", 20),
    nested("x + x + x + x", "['a' + 'b']", 20),
    nested("x * x", "[3037000499]", 20),
    nested("x * x", "[1e10]", 20),
    nested("[x, x]", "[input.hundred]", 20),
    f"len(json({nested('[x, x]', '[input.hundred]', 18)}))",
    f"str({nested('[x, x]', '[input.hundred]', 18)})",
    f"{nested('[x, x]', '[1]', 17)} == {nested('[x, x]', '[1.0]', 17)}",
    "sorted([input.text + str(a) for a in input.hundred])",
    "[upper(input.text) for a in input.list]",
    "[split(input.text, 'a') for a in input.list]",
    "replace(input.text, 'a', input.text)",
    "join(input.texts, input.text)",
    "join([input.text for a in input.list], '')",
    "[input.text for a in input.list]",
    "{str(a): input.text for a in input.list}",
    "flatten([input.list for a in input.list])",
    "zip(input.list, input.list, input.list, input.list, input.list)",
    "merge({str(a): a for a in input.list}, {str(a): a for a in input.list})",
    "parse_json('[' + join(['[]' for a in input.list], ',') + ']')",
    "parse_json(join(['[' for a in range(900)], '') + join([']' for a in range(900)], ''))",
    "int(join(['9' for a in range(40)], ''))",
    "max([input.text for a in input.list])",
    "[reversed(input.text) for a in input.list]",
    "[input.text[1:] for a in input.list]",
    "[json(input.texts) for a in input.list]",
    "round(1e300, -20) * 1e300",
]


@pytest.mark.parametrize("source", SLOW + LARGE, ids=lambda s: s[:60])
def test_attacks_end_soon(source: str) -> None:
    began = time.perf_counter()
    evaluate(source)
    assert time.perf_counter() - began < SECONDS


@pytest.mark.parametrize("source", LARGE, ids=lambda s: s[:60])
def test_attacks_stay_small(source: str) -> None:
    tracemalloc.start()
    try:
        evaluate(source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < BYTES


def evaluate(source: str) -> None:
    try:
        value = compile_expression(source).evaluate(VALUES)
    except ExpressionError:
        return
    assert len(orjson.dumps(value)) < 8_000_000


@pytest.mark.parametrize(
    "source",
    [
        "-" * 3999 + "1",
        "not " * 999 + "1",
        "(" * 1999 + "1" + ")" * 1999,
        "[" * 1999 + "]" * 1999,
        "a" + ".b" * 1999,
        "input" + "[0]" * 1300,
        "input" + "()" * 1900,
        "+".join("1" * 2000),
        "1 if 1 else " * 330 + "1",
        "{'a':" * 600 + "1" + "}" * 600,
        "1" * 4000,
        "x" * 4001,
        "'" + "x" * 5000 + "'",
        "'" * 4000,
        "\\" * 4000,
        "[1" + " for x in [1]" * 300 + "]",
        "matches('a', '((a{1000}){1000}){1000}')",
        "matches('a', '" + "(a|b)" * 300 + "')",
        " " * 10_000_000,
        "(" * 10_000_000,
        "x" * 10_000_000,
    ],
    ids=lambda s: s[:20],
)
def test_sources_that_are_too_much_are_refused_soon(source: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidExpression):
        compile_expression(source)
    with pytest.raises(InvalidExpression):
        compile_template("${{" + source + "}}")
    assert time.perf_counter() - began < SECONDS


@pytest.mark.parametrize(
    "source",
    [
        "().__class__.__base__.__subclasses__()",
        "input.__class__.__mro__",
        "''.format(input)",
        "'{0.__class__}'.format(input)",
        "__import__('os').system('id')",
        "__builtins__",
        "open('/etc/passwd')",
        "getattr(input, 'x')",
        "eval('1')",
        "[c for c in ().__class__.__bases__]",
        "(lambda: 1)()",
        "input.items.__self__",
        "len.__globals__",
        "names",
        "scope",
        "str.upper",
    ],
)
def test_nothing_of_python_can_be_reached(source: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(source).evaluate({"input": {"items": []}, "run": {}, "steps": {}})


def test_a_pattern_is_linear_and_bounded() -> None:
    began = time.perf_counter()
    assert not compile_pattern("(a+)+$b")("a" * 1_000_000)
    assert compile_pattern(r"\bx\b")("a x b")
    for wrong in ("(", "(?=a)", "(a{1000}){1000}{1000}", "x" * 1001):
        with pytest.raises(ValueError, match=r"pattern|regular"):
            compile_pattern(wrong)
    assert time.perf_counter() - began < SECONDS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
PATHS = st.sampled_from(["input", "input.a", "input['b']", "input[0]", "item", "steps.s.output", "run.id"])
LITERALS = st.sampled_from(["0", "1", "-2.5", "'a'", "''", "null", "true", "[]", "{}", "'\\u00e9'", "[1, 'x']"])
OPERATORS = ["+", "-", "*", "/", "//", "%", "==", "!=", "<", ">=", "in", "not in", "and", "or"]
EXPRESSIONS = st.recursive(
    PATHS | LITERALS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(OPERATORS), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(sorted(FUNCTIONS)), st.lists(inner, min_size=1, max_size=3)).map(
            lambda t: f"{t[0]}({', '.join(t[1])})"
        ),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"[{t[0]} for x in {t[1]}]"),
        st.tuples(inner, inner).map(lambda t: f"default({t[0]}, {t[1]})"),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
        inner.map(lambda s: f"{s}.a"),
        inner.map(lambda s: f"not {s}"),
        inner.map(lambda s: f"{{'k': {s}}}"),
    ),
    max_leaves=10,
)


@given(EXPRESSIONS, JSON, JSON)
@settings(max_examples=400, deadline=None)
def test_expressions_give_json_or_an_error_of_ours(source: str, first: Any, second: Any) -> None:
    values = {"input": first, "item": second, "run": {"id": "r"}, "steps": {"s": {"output": first, "state": "x"}}}
    before = orjson.dumps(values)
    try:
        expression = compile_expression(source, names.ITEM)
        value = expression.evaluate(values)
    except ExpressionError as error:
        wrong = error
    else:
        wrong = None
    if wrong:
        assert wrong.detail
        assert 0 <= wrong.offset <= len(wrong.source)
        return
    assert orjson.loads(orjson.dumps(value)) == value
    assert orjson.dumps(values) == before, "a value was changed in place"
    if "steps" in source:
        assert expression.steps == {"s"}


@given(st.text(max_size=60) | st.text(st.sampled_from(list("()[]{}'\"\\ .,:+-*/%<>=!&|#;ax01~@$\n\rλ")), max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_compiles_or_is_refused(source: str) -> None:
    for compiled in (compile_expression, compile_template):
        place = 0
        try:
            compiled(source)
        except InvalidExpression as error:
            place = error.offset
        assert 0 <= place <= len(source)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_a_text_without_expressions_stays_as_it_is(source: str) -> None:
    if "${{" not in source:
        assert compile_template(source).render({}) == source
    escaped = source.replace("${{", "$${{")
    if "$" not in source:
        assert compile_template(escaped).render({}) == source


NUMBERS = st.integers(-50, 50).map(str) | st.floats(-50, 50, allow_nan=False).map(lambda f: f"{f:.3f}")
ARITHMETIC = st.recursive(
    NUMBERS,
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(
        lambda t: f"({t[0]} {t[1]} {t[2]})"
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(ARITHMETIC, ARITHMETIC, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]))
def test_arithmetic_is_pythons(left: str, right: str, compare: str) -> None:
    source = f"[{left}, {left} {compare} {right}]"
    try:
        expected = eval(source)
    except ZeroDivisionError:
        with pytest.raises(EvaluationError):
            compile_expression(source).evaluate({})
        return
    try:
        assert compile_expression(source).evaluate({}) == expected
    except LimitExceeded:
        assert abs(expected[0]) > 1e15
