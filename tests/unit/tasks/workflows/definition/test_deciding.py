from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.deciding import (
    ITEMS,
    chosen,
    is_wanted,
    map_action,
    map_items,
    run_output,
)
from tasks.workflows.definition.model import Action
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.expressions.errors import EvaluationError, LimitExceeded

DEFINITION = """
name: n
priority: 7
steps:
  - {key: a, kind: task, when: input.n > 2, with: {task: t}, outputs: {first: "${{ output.x }}"}}
  - {key: b, kind: task, needs: [a], priority: 2, queue: slow, with: {task: t}}
  - {key: c, kind: task, needs: [a], with: {task: t}, outputs: {skipped: "${{ output.nope }}"}}
outputs: {last: "${{ steps.b.output }}"}
"""


def values(n: int = 3, **steps: Any) -> dict[str, Any]:
    return {"input": {"n": n, "list": [1, 2]}, "run": {"id": "r"}, "steps": steps}


def done(output: Any) -> dict[str, Any]:
    return {"output": output, "state": "succeeded"}


SKIPPED = {"output": None, "state": "skipped"}


def test_when() -> None:
    a, b, _ = parse_definition(DEFINITION).steps
    assert is_wanted(a, values(3))
    assert not is_wanted(a, values(2))
    assert is_wanted(b, {})
    with pytest.raises(EvaluationError):
        is_wanted(a, {"input": {}})


def test_a_branch_takes_its_first_true_case() -> None:
    arguments = {
        "cases": [{"when": "input.n > 5", "then": ["x"]}, {"when": "${{ input.n > 2 }}", "then": ["y", "z"]}],
        "otherwise": ["w"],
    }
    assert chosen(arguments, values(9)) == ("x",)
    assert chosen(arguments, values(3)) == ("y", "z")
    assert chosen(arguments, values(1)) == ("w",)
    assert chosen({"cases": arguments["cases"]}, values(1)) == ()


def test_a_map_goes_over_a_list() -> None:
    assert map_items({"over": "input.list"}, values()) == [1, 2]
    assert map_items({"over": "${{ [x * 2 for x in input.list] }}"}, values()) == [2, 4]
    assert map_items({"over": [1, "${{ input.n }}", {"a": ["${{ run.id }}"]}]}, values()) == [1, 3, {"a": ["r"]}]
    with pytest.raises(EvaluationError, match="over a number"):
        map_items({"over": "input.n"}, values())
    with pytest.raises(LimitExceeded):
        map_items({"over": "input.list"}, {"input": {"list": [0] * (ITEMS + 1)}})


def test_a_maps_inner_step() -> None:
    parsed = parse_definition(
        "{name: n, steps: [{key: m, kind: map, with: {over: input.list, step: {kind: emit, timeout_s: 5,"
        " with: {event: e, data: {i: '${{ index }}', v: '${{ item }}'}}}}}]}"
    )
    action = map_action(parsed.steps[0].action.arguments)
    assert action == Action("emit", {"event": "e", "data": {"i": "${{ index }}", "v": "${{ item }}"}}, timeout_s=5)
    rendered = KINDS[action.kind].render(action.arguments, values() | {"item": [8], "index": 0})
    assert rendered == {"event": "e", "data": {"i": 0, "v": [8]}}


def test_the_output_of_a_run() -> None:
    parsed = parse_definition(DEFINITION)
    scope = values(a=done({"x": 1}), b=done("b"), c=SKIPPED)
    a, _, c = parsed.steps
    assert run_output(parsed, [a, c], ["b", "c"], scope) == {"first": 1, "last": "b"}
    assert run_output(replace(parsed, outputs={}), [a, c], ["b", "c"], scope) == {"first": 1}
    with pytest.raises(EvaluationError):
        run_output(parsed, [a, c], ["b", "c"], values(a=done({}), b=done(1), c=SKIPPED))


def test_without_outputs_it_is_what_the_leaves_gave() -> None:
    steps = "[{key: a, kind: wait, with: {seconds: 0}}, {key: b, kind: wait, needs: [a], with: {seconds: 0}},"
    parsed = parse_definition("{name: n, steps: " + steps + " {key: c, kind: wait, with: {seconds: 0}}]}")
    assert run_output(parsed, [], ["b", "c"], values(b=done(2), c=SKIPPED)) == {"b": 2}
