from __future__ import annotations

from typing import Any

import orjson
import pytest

from tasks.workflows.definition.form import LARGE
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.pieces import Chain, Chord, Node, Single
from tasks.workflows.places import Places
from tasks.workflows.plan import plan
from tasks.workflows.workings import Workings

WRITTEN = """
name: n
priority: 7
steps:
  - {key: c, kind: task, needs: [a], with: {task: t, args: {x: "${{ steps.a.output }}"}}, outputs: {c: "${{ 1 }}"}}
  - {key: a, kind: task, with: {task: t}, outputs: {first: "${{ output.x }}", x: "${{ input.x }}"}}
  - {key: b, kind: task, needs: [a], priority: 2, queue: slow, with: {task: t}}
outputs: {last: "${{ steps.b.output }}"}
"""
A, C, B = range(3)


def workings_of(document: Any) -> Workings:
    definition = parse_definition(document)
    return Workings(definition, Places.of(definition))


def line(count: int, **first: Any) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [
        {"key": f"s{n}", "kind": "task", "needs": [f"s{n - 1}"] if n else [], "with": {"task": "t"}}
        for n in range(count)
    ]
    steps[0] |= first
    return {"name": "line", "steps": steps}


def test_planning_knows_queues_and_priorities() -> None:
    workings = workings_of(WRITTEN)
    assert list(workings.places.keys) == ["a", "c", "b"]
    graph = workings.graph
    assert graph.nodes[A] == graph.nodes[C] == Node("task", "workflows", 7)
    assert graph.nodes[A] is graph.nodes[C], "steps that are alike share one"
    assert graph.nodes[B] == Node("task", "slow", 2)
    assert graph.children[A] == (C, B)
    assert plan([A], graph) == (Single(A),)
    with pytest.raises(IndexError):
        graph.nodes[-1]


def test_what_waits_or_decides_ends_a_piece() -> None:
    nodes = workings_of("{name: n, steps: [{key: w, kind: wait, with: {seconds: 0}}]}").nodes
    assert nodes[0].ends_piece


def test_a_diamond_travels_as_a_chord() -> None:
    needs: dict[str, list[str]] = {"s": [], "x": ["s"], "y": ["s"], "j": ["x", "y"]}
    steps = [{"key": key, "kind": "task", "needs": above, "with": {"task": "t"}} for key, above in needs.items()]
    graph = workings_of({"name": "n", "steps": steps}).graph
    assert plan([0], graph) == (Chain((Single(0), Chord((Single(1), Single(2)), Single(3)))),)


def test_the_output_is_made_of_what_outputs_read_and_of_those_who_give_them() -> None:
    workings = workings_of(WRITTEN)
    assert list(workings.giving) == [A, C]
    assert list(workings.output_reads) == [A, C, B]
    assert list(workings_of(line(3)).giving) == []
    assert list(workings_of(line(3)).output_reads) == [2]


def test_what_a_step_reads_is_found_out_once() -> None:
    workings = workings_of(WRITTEN)
    assert [workings.reads(place) for place in (A, C, B, C)] == [(), (A,), (), (A,)]
    assert [workings.is_templated(place) for place in (A, C, B, C)] == [False, True, False, True]


def test_a_run_is_plain_where_no_success_skips_anything() -> None:
    assert workings_of(line(3)).plain
    assert not workings_of(line(3, when="input.n > 1")).plain
    assert not workings_of(line(3) | {"on_failure": "continue"}).plain


@pytest.mark.parametrize("count", [LARGE, 2 * LARGE, 2500])
def test_first_rows_come_for_every_step_once_in_order(count: int) -> None:
    workings = workings_of(line(count, queue="other", priority=9))
    for priority in (3, 3, 4):
        texts = list(workings.rows(priority))
        assert max(map(len, texts)) < 120_000
        rows = [row for text in texts for row in orjson.loads(text)]
        assert [row["place"] for row in rows] == list(range(count))
        first = {"place": 0, "key": "s0", "kind": "task", "pending": 0, "queue": "other", "priority": 9}
        assert rows[0] == first
        assert rows[-1] == {
            "place": count - 1,
            "key": f"s{count - 1}",
            "kind": "task",
            "pending": 1,
            "queue": "workflows",
            "priority": priority,
        }
