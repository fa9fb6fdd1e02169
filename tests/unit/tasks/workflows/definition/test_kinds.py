from __future__ import annotations

from typing import Any

import pytest

from tasks.workflows.definition.builtin import BUILTIN, KINDS, builtin_kinds
from tasks.workflows.definition.context import Context
from tasks.workflows.definition.kinds import Kind, Kinds
from tasks.workflows.definition.mistakes import InvalidDefinition, Path
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.definition.schema import definition_schema
from tasks.workflows.definition.shapes import Field, Shape
from tasks.workflows.definition.specs import Number, Text
from tasks.workflows.expressions.errors import EvaluationError

VALUES: dict[str, Any] = {
    "input": {"n": 3, "s": "x", "late": -5, "evil": "${{ input.s }}", "o": {"a": 1}},
    "run": {"id": "r"},
    "steps": {},
}


def slack_kinds() -> Kinds:
    kinds = builtin_kinds()

    def loud(made: dict[str, Any], path: Path, context: Context) -> None:
        if made.get("text") == "quiet":
            context.wrong(path / "text", "too quiet")

    @kinds.kind(
        "slack",
        {"channel": Field(Text(1, 20), required=True), "text": Field(Text(1, 100, template=True))},
        verify=loud,
        about="Posts a message.",
        timeout_s=10,
    )
    def post() -> str:
        return "posted"

    assert post() == "posted", "the function stays what it was"
    return kinds


def workflow(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"name": "n", "steps": [{"key": "a", "kind": kind, "with": arguments}]}


def test_a_kind_of_ones_own() -> None:
    kinds = slack_kinds()
    source = workflow("slack", {"channel": "c", "text": "hi ${{ input.s }}"})
    parsed = parse_definition(source, kinds=kinds)
    assert kinds["slack"].timeout_s == 10
    assert kinds.runners["slack"]() == "posted"
    assert kinds["slack"].render(parsed.steps[0].action.arguments, VALUES) == {"channel": "c", "text": "hi x"}
    assert "slack" in definition_schema(kinds)["properties"]["steps"]["items"]["properties"]["kind"]["enum"]
    for arguments, says in (({}, "missing"), ({"channel": "c", "txt": 1}, "'text'"), ({"channel": 1}, "text"),
                            ({"channel": "c", "text": "quiet"}, "too quiet")):  # fmt: skip
        with pytest.raises(InvalidDefinition, match=says):
            parse_definition(workflow("slack", arguments), kinds=kinds)
    with pytest.raises(InvalidDefinition, match="unknown kind 'slack'"):
        parse_definition(source)
    assert "slack" not in KINDS


def test_the_registry_keeps_names_apart() -> None:
    kinds = slack_kinds()
    with pytest.raises(ValueError, match="already"):
        kinds.add(Kind("slack", Shape({})))
    with pytest.raises(ValueError, match="can't be"):
        kinds.add(Kind("a b", Shape({})))
    kinds.add(kinds["slack"])
    with pytest.raises(KeyError):
        kinds.runs("nope")
    assert kinds.runs("http")(len) is len
    assert kinds.runners["http"] is len
    assert len(kinds.copy()) == len(BUILTIN) + 1


def test_rendered_arguments_are_checked_again() -> None:
    wait = KINDS["wait"]
    assert wait.render({"seconds": "${{ input.n }}"}, VALUES) == {"seconds": 3}
    for wrong in ("${{ input.s }}", "${{ input.late }}", "${{ null }}"):
        with pytest.raises(InvalidDefinition, match="/with"):
            wait.render({"seconds": wrong}, VALUES)
    with pytest.raises(EvaluationError):
        wait.render({"seconds": "${{ input.nope }}"}, VALUES)


def test_a_value_is_never_taken_for_a_template() -> None:
    rendered = KINDS["http"].render({"url": "u", "json": ["${{ input.evil }}", "$${{ x }}"]}, VALUES)
    assert rendered["json"] == ["${{ input.s }}", "${{ x }}"]
    assert KINDS["sql"].render({"connection": "c", "query": "q", "params": {"p": "${{ input.evil }}"}}, VALUES)[
        "params"
    ] == {"p": "${{ input.s }}"}


def test_arguments_without_templates_are_left_as_they_are() -> None:
    arguments = {"url": "u", "json": {"a": [1]}}
    rendered = KINDS["http"].render(arguments, VALUES)
    assert rendered == arguments
    assert rendered["json"] is arguments["json"]


def test_what_is_evaluated_later_is_not_rendered() -> None:
    arguments = {"over": "input.o", "step": {"kind": "emit", "with": {"event": "e", "data": {"x": "${{ item }}"}}},
                 "max_parallel": "${{ input.n }}"}  # fmt: skip
    assert KINDS["map"].render(arguments, VALUES) == arguments | {"max_parallel": 3}
    branch = {"cases": [{"when": "steps.x.output", "then": ["y"]}]}
    assert KINDS["branch"].render(branch, VALUES) == branch


def test_a_whole_object_may_come_from_an_expression() -> None:
    assert KINDS["task"].render({"task": "t", "args": "${{ input.o }}"}, VALUES) == {"task": "t", "args": {"a": 1}}
    with pytest.raises(InvalidDefinition, match="an object is needed"):
        KINDS["task"].render({"task": "t", "args": "${{ input.n }}"}, VALUES)


def test_kinds_that_wait_end_a_piece_and_stand_alone() -> None:
    alone = {kind.name for kind in BUILTIN if kind.ends_piece}
    assert alone == {"map", "branch", "wait", "approve", "workflow"}
    assert alone == {kind.name for kind in BUILTIN if not kind.inside}


def test_every_field_of_a_kind_has_a_schema_and_checks_itself() -> None:
    for kind in BUILTIN:
        schema = kind.arguments.schema()
        assert set(schema["properties"]) == set(kind.arguments.fields)
        assert kind.about
    assert Number(1, 2, template=True).schema()["anyOf"][0] == {"type": "number", "minimum": 1, "maximum": 2}
