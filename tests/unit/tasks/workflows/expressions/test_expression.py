from __future__ import annotations

from typing import Any

import pytest

from tasks.workflows.expressions import names
from tasks.workflows.expressions.errors import EvaluationError, InvalidExpression, Missing
from tasks.workflows.expressions.expression import compile_expression

VALUES: dict[str, Any] = {
    "input": {
        "n": 3,
        "half": 0.5,
        "name": "Ada",
        "tags": ["b", "a", "b"],
        "items": [{"id": 1, "price": 5}, {"id": 2, "price": 2}],
        "empty": None,
        "deep": {"a-b": [10, {"z": True}]},
    },
    "run": {"id": "r1", "tags": ["x"]},
    "steps": {
        "fetch": {"output": {"rows": [1, 2, 3]}, "state": "succeeded"},
        "fetch-page": {"output": "page", "state": "succeeded"},
        "skip": {"output": None, "state": "skipped"},
    },
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("input.n", 3),
        ("input['name']", "Ada"),
        ("input.deep['a-b'][1].z", True),
        ("input.tags[-1]", "b"),
        ("input.tags[1:]", ["a", "b"]),
        ("input.name[:2]", "Ad"),
        ("run.id", "r1"),
        ("steps.fetch.output.rows[0]", 1),
        ("steps['fetch-page'].output", "page"),
        ("steps['fetch']['state'] == 'succeeded'", True),
        ("steps.skip.output", None),
        ("null", None),
        ("[true, false, None, True]", [True, False, None, True]),
        ("1 + 2 * 3 - 4 / 2", 5.0),
        ("7 // 2 + 7 % 4", 6),
        ("-input.n + +1", -2),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("1 == 1.0", True),
        ("1 == true", False),
        ("0 == false", False),
        ("[1, {'a': 2}] == [1.0, {'a': 2}]", True),
        ("1 in [true]", False),
        ("'da' in input.name", True),
        ("'n' in input and 'x' not in input", True),
        ("1 < input.n <= 3", True),
        ("'a' < 'b' != 'c'", True),
        ("input.empty is null", True),
        ("input.n is not null", True),
        ("input.empty or 'x'", "x"),
        ("input.n and input.name", "Ada"),
        ("not input.empty", True),
        ("'big' if input.n > 2 else 'small'", "big"),
        ("{'k': input.n, 'l': [input.half]}", {"k": 3, "l": [0.5]}),
        ("[i.id for i in input.items if i.price > 2]", [1]),
        ("[[a, b] for a in [1, 2] for b in [3, 4] if a + b != 5]", [[1, 3], [2, 4]]),
        ("[[x for x in y] for y in [[1], [2]]]", [[1], [2]]),
        ("[x + [x for x in [9]][0] for x in [1, 2]]", [10, 11]),
        ("{i.id.str(): i.price for i in input.items}", {"1": 5, "2": 2}),
        ("[k + '=' + str(v) for k, v in items({'a': 1})]", ["a=1"]),
        ("sum(i.price for i in input.items)", 7),
        ("any(x > 2 for x in [1, 3]) and not all(x > 2 for x in [1, 3])", True),
        ("len(input.tags) + len('ab') + len({'a': 1})", 6),
        ("upper('ab') + 'AB'.lower()", "ABab"),
        ("' x '.strip()", "x"),
        ("'a,b'.split(',')", ["a", "b"]),
        ("split('a  b')", ["a", "b"]),
        ("join([1, 'x', 2.5], '-')", "1-x-2.5"),
        ("', '.join(input.tags)", "b, a, b"),
        ("'aXbX'.replace('X', '--')", "a--b--"),
        ("'abc'.startswith('ab') and endswith('abc', 'bc')", True),
        ("matches('order-12', r'^order-\\d+$')", True),
        ("'x'.matches('^y')", False),
        ("sorted([3, 1, 2.5])", [1, 2.5, 3]),
        ("sorted(input.items, 'price')[0].id", 2),
        ("reversed([1, 2]) + [reversed('ab')]", [2, 1, "ba"]),
        ("unique([1, 1.0, true, 'a', 'a', null, null, [1], [1]])", [1, True, "a", None, [1]]),
        ("flatten([[1], [2, 3]])", [1, 2, 3]),
        ("zip([1, 2], ['a', 'b', 'c'])", [[1, "a"], [2, "b"]]),
        ("merge({'a': 1, 'b': 1}, {'b': 2})", {"a": 1, "b": 2}),
        ("keys({'a': 1}) + values({'a': 'v'})", ["a", "v"]),
        ("get(input, 'nope', 'd') + get(input, 'name')", "dAda"),
        ("get([1], 3)", None),
        ("first([1, 2]) + last([3, 4])", 5),
        ("min(3, 1.5) + max([2, 4])", 5.5),
        ("abs(-2) + round(2.567, 2) + round(2.5)", 6.57),
        ("int('12') + int(2.9) + float('1.5')", 15.5),
        ("str(null) + str(true) + str(1.5) + str([1])", "true1.5[1]"),
        ("json({'a': [null]})", '{"a":[null]}'),
        ("parse_json('{\"a\": [1]}').a[0]", 1),
        ("range(3) + range(1, 6, 2)", [0, 1, 2, 1, 3, 5]),
        ("[type(x) for x in [null, true, 1, 'a', [], {}]]", ["null", "boolean", "number", "text", "list", "object"]),
        ("concat('a', 'b', 'c')", "abc"),
        ("bool('') or bool([0])", True),
        ("default(input.nope.more, 4)", 4),
        ("default(input.empty, 'e')", "e"),
        ("default(steps.skip.output.rows, [])", []),
        ("has(input.empty) and not has(input.nope)", True),
        ("  (input\n  .n)  ", 3),
    ],
)
def test_values(source: str, expected: Any) -> None:
    value = compile_expression(source).evaluate(VALUES)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("source", "says", "character"),
    [
        ("", "empty", 1),
        ("inputs.n", "did you mean 'input'", 1),
        ("input.n > 2 and nope", "unknown name 'nope'; known are input, run, steps", 17),
        ("item.id", "unknown name 'item'", 1),
        ("steps", "steps.<key>.output", 1),
        ("steps.fetch", "steps.fetch.output", 1),
        ("steps.fetch.result", "it has output and state", 1),
        ("steps[input.name].output", "constant key", 1),
        ("len(steps)", "constant key", 5),
        ("run.nope", "'run' has no 'nope'", 1),
        ("input.n +", "invalid syntax", 10),
        ("1 2", "syntax", 1),
        ("input.n && 1", "'&&' is written 'and'", 9),
        ("!input.n", "'!' is written 'not'", 1),
        ("a || b", "'or'", 3),
        ("(1", "not closed", 1),
        ("1) + (2", "closes nothing", 2),
        ("[1)", "closes nothing", 3),
        ("'abc", "no end", 1),
        ("'''a'''", "one quote", 1),
        ("'\\d'", "no escape", 2),
        ("1 # one", "not part", 3),
        ("'a\\x00'", "not allowed", 1),
        ("'\\ud800'", "not allowed", 1),
        ("9223372036854775808", "out of range", 1),
        ("1e999", "out of range", 1),
        ("b'a'", "bytes", 1),
        ("1j", "complex", 1),
        ("...", "ellipsis", 1),
        ("f'{input}'", "f-string", 1),
        ("lambda: 1", "lambda", 1),
        ("(x := 1)", "assignment", 2),
        ("2 ** 3", "'**'", 1),
        ("1 | 2", "'|'", 1),
        ("1 << 2", "'<<'", 1),
        ("~1", "'~'", 1),
        ("{1, 2}", "a set", 1),
        ("{**input}", "merge", 1),
        ("[*input]", "'*'", 2),
        ("len(*input)", "'*'", 5),
        ("sorted(input, key=1)", "named argument", 1),
        ("(yield)", "yield", 2),
        ("await input", "await", 1),
        ("input.n is 3", "'is' asks for null alone", 12),
        ("input[::2]", "no step", 9),
        ("nope(1)", "unknown function 'nope'", 1),
        ("input.lenn()", "did you mean 'len'", 1),
        ("len()", "takes 1 values, not 0", 1),
        ("range(1, 2, 3, 4)", "takes 1 to 3", 1),
        ("input.a()()", "by their names", 1),
        ("default(1)", "takes 2", 1),
        ("has()", "takes 1", 1),
        ("matches('a')", "takes 2", 1),
        ("matches('a', input.name)", "constant", 14),
        ("matches('a', '(a')", "not a regular expression", 14),
        ("matches('a', r'(a)\\1')", "backreferences", 14),
        ("[x for input in [1]]", "has a meaning", 8),
        ("[x for null in [1]]", "has a meaning", 8),
        ("[x for x.y in [1]]", "plain names", 8),
        ("[x for x in [1]] + [x]", "unknown name 'x'", 21),
        ("[1 async for x in [1]]", "", 1),
        ("'é' + nope", "unknown name", 7),
        ("(1 +\n nope)", "unknown name", 7),
    ],
)
def test_what_is_refused_and_where(source: str, says: str, character: int) -> None:
    with pytest.raises(InvalidExpression) as caught:
        compile_expression(source)
    assert says in caught.value.detail
    assert caught.value.offset + 1 == character


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("input.n + 'a'", "a number and a text can't be added; write str(…)"),
        ("'a' * 3", "two numbers"),
        ("true + 1", "true or false"),
        ("1 / 0", "division by zero"),
        ("1 % 0", "division by zero"),
        ("9223372036854775807 + 1", "out of range"),
        ("1e308 * 10", "out of range"),
        ("-(-9223372036854775807 - 1)", "out of range"),
        ("1e308 // 1e-308", "out of range"),
        ("1 < 'a'", "no order"),
        ("null < 1", "no order"),
        ("1 in 2", "'in' asks"),
        ("input.n.x", "a number has no field 'x'"),
        ("input.tags.x", "a list has no field 'x'"),
        ("{1: 2}", "named by a text"),
        ("{x: 1 for x in [1]}", "named by a text"),
        ("input[1]", "named by a text"),
        ("[x for x in input]", "keys(…) make lists"),
        ("[x for x in 5]", "not a number"),
        ("[a for a, b in [[1]]]", "a list of 2"),
        ("sorted([1, 'a'])", "have an order"),
        ("sum(['a'])", "a list of numbers"),
        ("int('x')", "not a whole number"),
        ("int(null)", "not a whole number"),
        ("float('nan')", "out of range"),
        ("float('x')", "not a number"),
        ("range(1, 2, 0)", "step is 0"),
        ("range(1.5)", "whole number"),
        ("split('a', '')", "separator is empty"),
        ("replace('a', '', 'b')", "empty"),
        ("join([null], '')", "join takes"),
        ("parse_json('{')", "not JSON"),
        ("parse_json('\"\\\\u0000\"')", "NUL"),
        ("upper(1)", "a text is needed"),
        ("keys([])", "an object is needed"),
        ("len(1)", "no length"),
        ("round('a')", "round takes"),
        ("matches(1, 'a')", "takes a text"),
        ("'abc'[true]", "has no such field"),
        ("'abc'['a':]", "whole numbers"),
        ("null[1:]", "null has no items"),
    ],
)
def test_what_can_not_be_evaluated(source: str, says: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        compile_expression(source).evaluate(VALUES)
    assert says in caught.value.detail


@pytest.mark.parametrize(
    "source",
    ["input.nope", "input.tags[9]", "input.empty.x", "first([])", "min([])", "input.__class__", "input['__class__']"],
)
def test_what_is_missing_is_an_error_of_its_own(source: str) -> None:
    with pytest.raises(Missing):
        compile_expression(source).evaluate(VALUES)


def test_errors_say_where() -> None:
    with pytest.raises(Missing) as caught:
        compile_expression("1 + input.deep.nope").evaluate(VALUES)
    assert caught.value.offset == 4
    assert "at character 5 of '1 + input.deep.nope'" in str(caught.value)
    assert caught.value.code == "EXPRESSION_4"


def test_what_is_read_is_known_before() -> None:
    expression = compile_expression("default(steps.a.output.x, steps['b-c'].state) + input.n + item", names.ITEM)
    assert expression.steps == {"a", "b-c"}
    assert expression.reads == {"steps", "input", "item"}
    assert compile_expression("1 + 1").reads == frozenset()


def test_names_depend_on_the_place() -> None:
    assert compile_expression("item.id + index", names.ITEM).evaluate({"item": {"id": 1}, "index": 2}) == 3
    assert compile_expression("output.x", names.OUTPUT).evaluate({"output": {"x": 1}}) == 1
    assert compile_expression("[steps for steps in [1]]", frozenset({"event"})).evaluate({}) == [1]
    with pytest.raises(Missing, match="there is no 'input' here"):
        compile_expression("input.n").evaluate({})
    with pytest.raises(Missing, match="no output of the step 'x'"):
        compile_expression("steps.x.output").evaluate(VALUES)


@pytest.mark.parametrize(("source", "expected"), [("input.n > 2", True), ("null", False), ("false", False)])
def test_conditions(source: str, expected: bool) -> None:
    assert compile_expression(source).condition(VALUES) is expected


@pytest.mark.parametrize("source", ["'false'", "1", "[]", "input"])
def test_a_condition_is_nothing_but_true_or_false(source: str) -> None:
    with pytest.raises(EvaluationError, match="a condition is true or false, not"):
        compile_expression(source).condition(VALUES)
