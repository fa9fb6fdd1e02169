from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from webapp.cli.workflow.tree import Line, duration, head_text, line_text, lines, seconds_between

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)


def node(number: int, label: str, state: str = "pending", **more: Any) -> dict[str, Any]:
    made = {"id": number, "key": label, "label": label, "shape": "step", "kind": "task", "count": 1, "state": state}
    made |= {"states": {state: 1}, "attempt": 0, "waits_for": None, "queue": "lab", "error": None}
    return {**made, "started_at": None, "finished_at": None, **more}


def chart_of(needs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    number = {label: at for at, label in enumerate(needs)}
    edges = [[number[above], number[label]] for label, parents in needs.items() for above in parents]
    return {"nodes": [node(at, label) for label, at in number.items()], "edges": edges}


def drawn(needs: Mapping[str, Sequence[str]]) -> list[str]:
    return ["  " * line.depth + line.node["label"] for line in lines(chart_of(needs))]


def test_a_line_of_steps_stands_straight() -> None:
    assert drawn({"a": (), "b": ("a",), "c": ("b",)}) == ["a", "b", "c"]


def test_branches_stand_further_in_and_meet_again_further_out() -> None:
    needs = {"a": (), "b": ("a",), "b2": ("b",), "c": ("a",), "join": ("b2", "c"), "end": ("join",)}
    assert drawn(needs) == ["a", "  b", "  b2", "  c", "join", "end"]
    assert [line.after for line in lines(chart_of(needs)) if line.after] == [("b2", "c")]


def test_each_step_stands_once_after_all_that_it_waits_for() -> None:
    needs = {"a": (), "b": (), "c": ("a",), "d": ("a", "b")}
    assert sorted(line.strip() for line in drawn(needs)) == ["a", "b", "c", "d"]
    order = [line.strip() for line in drawn(needs)]
    assert all(order.index(above) < order.index(label) for label, parents in needs.items() for above in parents)


def test_steps_without_an_edge_stand_side_by_side() -> None:
    assert drawn({"a": (), "b": (), "c": ()}) == ["a", "b", "c"]


def test_a_line_says_state_time_and_what_there_is_to_say() -> None:
    failed = node(0, "pay", "failed", attempt=3, error="card \x1b[31mdeclined")
    failed |= {"started_at": BEGIN.isoformat(), "finished_at": (BEGIN + timedelta(seconds=2.5)).isoformat()}
    text = line_text(Line(1, failed, ("a", "b", "c", "d", "e")), BEGIN).plain
    assert text.startswith("  ✗ pay  failed  2.5 s  attempt 3  after a, b, c and 2 more")
    assert "declined" in text
    assert "\x1b" not in text
    ready = node(0, "ask", "ready", queue="lab")
    assert line_text(Line(0, ready), BEGIN).plain.endswith("ask  ready  for a worker of lab")
    waiting = node(0, "sure", "waiting", waits_for="decision", started_at=BEGIN)
    assert "for a decision" in line_text(Line(0, waiting), BEGIN + timedelta(seconds=5)).plain
    assert "5.0 s" in line_text(Line(0, waiting), BEGIN + timedelta(seconds=5)).plain
    many = node(0, "page-*", "running", count=98, states={"running": 1, "succeeded": 97})
    assert "page-* (98 steps: 1 running, 97 succeeded)" in line_text(Line(0, many), BEGIN).plain


def test_the_head_counts_what_is_done() -> None:
    chart = {"name": "order", "version": "2", "state": "running", "created_at": BEGIN, "finished_at": None}
    chart |= {"states": {"succeeded": 2, "skipped": 1, "running": 1}, "step_count": 4}
    assert head_text(chart, BEGIN + timedelta(seconds=75)).plain == "order 2  running  1 m 15 s  3/4 steps"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0421, "42 ms"), (3.14, "3.1 s"), (125, "2 m 05 s"), (3725, "1 h 02 m")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_clock_that_is_behind_gives_no_negative_time() -> None:
    assert seconds_between(BEGIN, None, BEGIN - timedelta(seconds=9)) == 0
    assert seconds_between(None, None, BEGIN) is None
