"""Many steps kept as text are the same steps: whoever asks can't tell, but for the memory."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from tasks.workflows.definition.form import LARGE, to_plain
from tasks.workflows.definition.model import StepDefinition, WorkflowDefinition
from tasks.workflows.definition.packed import READ_KEPT, Packed
from tasks.workflows.definition.parse import (
    content_hash,
    from_parts,
    from_snapshot,
    parse_definition,
    to_snapshot,
)
from tasks.workflows.places import Places


def document(count: int = LARGE + 1) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [
        {"key": f"s{n}", "kind": "task", "needs": [f"s{n - 1}"] if n else [], "with": {"args": {"n": n}, "task": "t"}}
        for n in range(count)
    ]
    steps[1] |= {"retry": {"max_attempts": 5}, "cache": {"key": "k", "ttl_s": 3}, "expect": {"required": ["a"]}}
    steps[2] |= {"compensate": {"kind": "emit", "with": {"event": "e"}}, "when": "input.n > 1", "priority": 7}
    steps[3] |= {"outputs": {"three": "${{ output.n }} ü"}, "queue": "other"}
    return {"name": "large", "version": "7", "tags": ["a"], "steps": steps}


@pytest.fixture(scope="module")
def packed() -> WorkflowDefinition:
    parsed = parse_definition(document())
    assert isinstance(parsed.steps, Packed)
    return parsed


@pytest.fixture(scope="module")
def whole(packed: WorkflowDefinition) -> WorkflowDefinition:
    """The same with its steps as objects."""
    return replace(packed, steps=tuple(packed.steps))


def test_few_steps_stay_objects() -> None:
    assert type(parse_definition(document(LARGE)).steps) is tuple


def test_they_are_the_steps_that_were_written(packed: WorkflowDefinition) -> None:
    # Without its last one it has so few that they are not packed.
    few = parse_definition(document(LARGE)).steps
    assert tuple(packed.steps[:LARGE]) == few
    assert packed.steps[-1] == packed.steps[LARGE] == list(packed.steps)[LARGE]
    assert packed.steps[LARGE].key == f"s{LARGE}"
    for unknown in (LARGE + 1, -LARGE - 2):
        with pytest.raises(IndexError):
            packed.steps[unknown]


def test_definitions_are_equal_whichever_way_they_keep_their_steps(
    packed: WorkflowDefinition, whole: WorkflowDefinition
) -> None:
    assert packed == whole
    assert whole == packed
    assert packed == parse_definition(document())
    assert packed != replace(whole, steps=(*whole.steps[:-1], replace(whole.steps[-1], priority=1)))
    assert packed != replace(packed, steps=packed.steps[1:])
    assert packed != replace(packed, version="8")
    assert replace(packed, version="8").steps is packed.steps


def test_they_are_written_and_read_alike(packed: WorkflowDefinition, whole: WorkflowDefinition) -> None:
    snapshot = to_snapshot(packed)
    assert snapshot == to_snapshot(whole)
    assert json.loads(snapshot) == to_plain(packed) == to_plain(whole)
    assert content_hash(packed) == content_hash(whole) == content_hash(replace(packed, version=None))
    assert from_snapshot(snapshot) == packed
    assert to_snapshot(from_snapshot(snapshot)) == snapshot
    plain = json.loads(snapshot)
    read = from_parts({name: value for name, value in plain.items() if name != "steps"}, iter(plain["steps"]))
    assert read == packed
    assert to_snapshot(read) == snapshot


def test_they_have_the_same_places(packed: WorkflowDefinition, whole: WorkflowDefinition) -> None:
    assert Places.of(packed) == Places.of(whole)
    assert Places.of(packed).steps is packed.steps
    # Written the other way round, so that places are not the numbers of the steps.
    turned = document()
    turned["steps"].reverse()
    places = Places.of(parse_definition(turned))
    assert isinstance(places.steps, Packed)
    assert list(places.steps) == list(packed.steps)
    assert places == Places.of(packed)
    assert json.loads(places.steps.json()) == to_plain(packed)["steps"]


def test_a_step_that_is_asked_for_again_is_the_same_object_and_so_are_only_some() -> None:
    made = Packed.of(range(READ_KEPT + 1), lambda number: [number])
    first = made[0]
    assert made[0] is first
    for number in range(1, READ_KEPT + 1):
        assert made[number] == [number]
    assert made[0] == first
    assert made[0] is not first


def test_ten_thousand_steps_take_little_more_than_their_text() -> None:
    snapshot = to_snapshot(parse_definition(document(10_000)))
    plain = json.loads(snapshot)
    steps = plain.pop("steps")
    tracemalloc.start()
    try:
        definition = from_parts(plain, iter(steps))
        places = Places.of(definition)
        kept, _ = tracemalloc.get_traced_memory()
        assert sum(isinstance(step, StepDefinition) for step in places.steps) == 10_000
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < len(snapshot) + 100 * 10_000
    assert after < kept + 100_000, "what goes over all of them leaves nothing"
