from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.workflows.expressions import names
from tasks.workflows.expressions.errors import EvaluationError, InvalidExpression, LimitExceeded, Missing
from tasks.workflows.expressions.limits import Limits, Meter
from tasks.workflows.expressions.templates import compile_condition, compile_template, compile_tree, step_of_path

VALUES: dict[str, Any] = {"input": {"n": 3, "o": {"k": [1]}, "s": "x" * 1000}, "steps": {"a": {"output": 1}}}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("${{ input.n }}", 3),
        ("${{input.o}}", {"k": [1]}),
        (" ${{ input.n }}", " 3"),
        ("n=${{ input.n }}, o=${{ input.o }}!", 'n=3, o={"k":[1]}!'),
        ("${{ null }}|${{ true }}|${{ 1.5 }}", "|true|1.5"),
        ("$${{ input.n }}", "${{ input.n }}"),
        ("a $${{ b ${{ input.n }}", "a ${{ b 3"),
        ("${{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("${{ '}}' }}", "}}"),
        ("${{ '}}' + \"'}}\" }} }}", "}}'}} }}"),
        ("$ { { } } $x ${x}", "$ { { } } $x ${x}"),
    ],
)
def test_templates(source: str, expected: Any) -> None:
    template = compile_template(source)
    value = template.render(VALUES)
    assert value == expected
    assert type(value) is type(expected)
    assert template.exact == (template.parts[0] != "" and len(template.parts) == 1 and source[:3] == "${{")


@pytest.mark.parametrize(
    ("source", "says", "character"),
    [
        ("a ${{ nope }}", "unknown name", 7),
        ("${{ input.n", "not closed", 1),
        ("${{ }}", "empty", 5),
        ("x ${{ ${{ input }} }}", "syntax", 7),
        ("é ${{ (1] }}", "closes nothing", 9),
        ("${{ 'a }}", "no end", 5),
    ],
)
def test_what_is_refused_and_where(source: str, says: str, character: int) -> None:
    with pytest.raises(InvalidExpression) as caught:
        compile_template(source)
    assert says in caught.value.detail
    assert caught.value.offset + 1 == character


def test_conditions_are_written_with_or_without_braces() -> None:
    for source in ("input.n > 2", " ${{ input.n > 2 }} ", "${{input.n>2}}"):
        assert compile_condition(source).condition(VALUES)
    for source, says in (("a ${{ true }}", "syntax"), ("${{ true }} b", "alone"), ("${{ true", "not closed")):
        with pytest.raises(InvalidExpression, match=says):
            compile_condition(source)


def test_trees_render_their_texts_and_share_the_rest() -> None:
    plain = {"deep": [1, {"x": "y"}]}
    source = {"a": "${{ input.n }}", "b": ["${{ steps.a.output }}", plain], "${{ c }}": None}
    tree = compile_tree(source)
    rendered = tree.render(VALUES)
    assert rendered == {"a": 3, "b": [1, plain], "${{ c }}": None}
    assert rendered["b"][1] is plain
    assert tree.steps == {"a"}
    assert tree.reads == {"input", "steps"}
    assert compile_tree(plain).render({}) is plain
    assert source["a"] == "${{ input.n }}"


def test_trees_are_bounded_as_a_whole() -> None:
    tree = compile_tree(["${{ input.s }}"] * 100)
    assert len(tree.render(VALUES)) == 100
    with pytest.raises(LimitExceeded):
        tree.render(VALUES, Meter(Limits(output=50_000)))
    with pytest.raises(LimitExceeded):
        compile_tree(["${{ input.s + 'x' }}"] * 100).render(VALUES, Meter(Limits(cost=5_000)))
    with pytest.raises(LimitExceeded):
        compile_template("${{ input.s }}" * 20).render(VALUES, Meter(Limits(text=10_000)))


def test_errors_keep_their_kind() -> None:
    with pytest.raises(Missing):
        compile_tree({"a": ["x ${{ input.nope }}"]}).render(VALUES)
    with pytest.raises(EvaluationError):
        compile_template("x ${{ 1/0 }}").render(VALUES)


PATHS = st.lists(
    st.sampled_from(["input", "steps", "run", "item", "output", "a", "b_1", "id", "state", "from", "None", "true"]),
    min_size=1,
    max_size=5,
)


@given(PATHS, st.sampled_from(["${{%s}}", "${{ %s }}", "${{  %s}}", "${{\n%s }}", "x${{ %s }}", "$${{ %s }}"]))
@settings(deadline=None, max_examples=500)
def test_the_short_way_says_what_the_long_one_says(path: list[str], form: str) -> None:
    source = form % ".".join(path)
    for allowed in (names.STEP, names.ITEM, names.OUTPUT):
        short = step_of_path(source, allowed)
        if short is not None:
            template = compile_template(source, allowed)
            assert template.exact
            assert set().union(*(one.steps for one in template.expressions())) == ({short} if short else set())
