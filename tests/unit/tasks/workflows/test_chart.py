from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.workflows.chart import chart, mermaid, state_of
from tasks.workflows.folding import fold
from tasks.workflows.places import Places
from tasks.workflows.states import STEP
from tests.unit.tasks.workflows.test_places import definition_of

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)


def row(place: int, key: str, state: str, **more: Any) -> dict[str, Any]:
    row = {"place": place, "key": key, "kind": "task", "state": state, "attempt": 1, "waits_for": None}
    row |= {"queue": "workflows"}
    times = {"started_at": BEGIN + timedelta(seconds=place), "finished_at": BEGIN + timedelta(seconds=place + 1)}
    return {**row, "compensates": None, "error": None, **times, **more}


def chart_of(needs: Mapping[str, Sequence[str]], states: Mapping[str, str], most: int = 100) -> dict[str, Any]:
    places = Places.of(definition_of(dict(needs)))
    rows = [row(place, step.key, states.get(step.key, "succeeded")) for place, step in enumerate(places.steps)]
    return chart(fold(places, most), rows)


def test_each_step_is_a_node_with_its_state() -> None:
    shown = chart_of({"a": (), "b": ("a",), "c": ("a",)}, {"b": "failed", "c": "running"})
    assert [(node["key"], node["state"]) for node in shown["nodes"]] == [
        ("a", "succeeded"),
        ("b", "failed"),
        ("c", "running"),
    ]
    assert shown["edges"] == [[0, 1], [0, 2]]
    assert (shown["step_count"], shown["folded"]) == (3, False)
    assert shown["states"] == {"succeeded": 1, "failed": 1, "running": 1}


def test_a_folded_node_tells_of_all_of_its_steps() -> None:
    keys = [f"page-{number}" for number in range(98)]
    shown = chart_of({"s": (), **dict.fromkeys(keys, ("s",)), "j": keys}, {"page-7": "failed"}, most=10)
    [first, pages, last] = shown["nodes"]
    assert shown["folded"]
    assert (first["key"], last["key"], pages["key"]) == ("s", "j", None)
    assert (pages["label"], pages["count"], pages["state"]) == ("page-*", 98, "failed")
    assert pages["states"] == {"failed": 1, "succeeded": 97}
    assert pages["started_at"] == BEGIN + timedelta(seconds=1)
    assert pages["finished_at"] == BEGIN + timedelta(seconds=99)


def test_what_undoes_steps_stands_beside_them() -> None:
    places = Places.of(definition_of({"a": (), "b": ("a",)}))
    rows = [row(0, "a", "succeeded"), row(1, "b", "failed"), row(2, "undo-a", "running", compensates=0)]
    shown = chart(fold(places, 100), rows)
    assert [node["key"] for node in shown["nodes"]] == ["a", "b", "undo-a"]
    assert shown["edges"] == [[0, 1]]
    assert shown["step_count"] == 2
    many = [*rows[:2], *(row(2 + at, f"undo-{at}", "pending", compensates=0) for at in range(30))]
    assert chart(fold(places, 100), many)["nodes"][2]["count"] == 30


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        ({"succeeded": 3}, "succeeded"),
        ({"succeeded": 3, "skipped": 1}, "succeeded"),
        ({"succeeded": 3, "failed": 1, "running": 2}, "failed"),
        ({"succeeded": 3, "pending": 1}, "running"),
        ({"pending": 3, "ready": 1}, "running"),
        ({"cancelled": 3, "succeeded": 1}, "cancelled"),
        ({"pending": 1, "skipped": 1}, "pending"),
    ],
)
def test_steps_in_different_states_are_shown_in_one(states: dict[str, int], shown: str) -> None:
    assert state_of(states) == shown


def test_mermaid_names_every_node_and_colours_every_state() -> None:
    keys = {f"k{number}": state for number, state in enumerate(STEP.states)}
    text = mermaid(chart_of(dict.fromkeys(keys, ()) | {"k1": ("k0",)}, keys))
    lines = text.splitlines()
    assert lines[0] == "flowchart TD"
    assert '    n0["k0<br/>task, pending"]:::pending' in lines
    assert "    n0 --> n1" in lines
    for state in STEP.states:
        assert sum(line.startswith(f"    classDef {state} fill:") for line in lines) == 1


def test_a_key_can_not_break_out_of_its_label() -> None:
    places = Places.of(definition_of({"a": ()}))
    text = mermaid(chart(fold(places, 9), [row(0, 'x"]; click <script>', "failed")]))
    assert '"' not in text.splitlines()[1].split('"', 1)[1].rsplit('"', 1)[0]
    assert "<script>" not in text
