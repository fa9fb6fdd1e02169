"""What a process keeps of stored definitions is bounded by what they take."""

from __future__ import annotations

import tracemalloc
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.workflows.definition.parse import from_snapshot, parse_definition, to_snapshot
from tasks.workflows.places import Places
from tasks.workflows.stored import Kept, StoredDefinition, size_of
from tasks.workflows.workings import Workings


def stored(size_bytes: int) -> StoredDefinition:
    definition = parse_definition("{name: n, steps: [{key: a, kind: wait, with: {seconds: 1}}]}")
    places = Places.of(definition)
    workings = Workings(definition, places)
    now = datetime.now(UTC)
    return StoredDefinition(uuid.uuid4(), "n", None, "h", definition, places, now, None, workings, size_bytes)


def test_as_many_are_kept_as_take_so_many_bytes() -> None:
    kept = Kept(most_bytes=100, most=10)
    first, second, third = (stored(40) for _ in range(3))
    assert kept.add(first) is first
    kept.add(second)
    assert kept.get(first.id) is first
    kept.add(third)
    assert kept.get(second.id) is None, "not used for longest"
    assert kept.get(first.id) is first
    assert kept.get(third.id) is third


def test_one_that_is_too_large_is_kept_alone() -> None:
    kept = Kept(most_bytes=100, most=10)
    small, large = stored(40), stored(1000)
    kept.add(small)
    kept.add(large)
    assert kept.get(small.id) is None
    assert kept.get(large.id) is large
    kept.add(small)
    assert kept.get(large.id) is None


def test_at_most_so_many_are_kept_and_each_once() -> None:
    kept = Kept(most_bytes=1000, most=2)
    every = [stored(1) for _ in range(3)]
    for one in every:
        kept.add(one)
    assert [kept.get(one.id) is one for one in every] == [False, True, True]
    assert kept.add(every[2]) is every[2]
    assert kept.get(every[1].id) is every[1]


def steps(count: int, arguments: Any) -> list[dict[str, Any]]:
    return [
        {
            "key": f"s{n}",
            "kind": "task",
            "needs": [f"s{n - 1}"] if n else [],
            "with": {"task": "t", "args": arguments},
        }
        for n in range(count)
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"name": "n", "steps": steps(40, {"n": 1})},
        {"name": "n", "steps": steps(5000, {"n": 1})},
        {"name": "n", "steps": steps(300, {"list": [*map(str, range(300))]})},
        {"name": "n", "steps": steps(40, {"list": [{"a": n} for n in range(300)]})},
        {"name": "n", "steps": steps(400, {"text": "x" * 5000})},
    ],
)
def test_a_definition_takes_no_more_than_is_estimated(document: dict[str, Any]) -> None:
    snapshot = to_snapshot(parse_definition(document))

    def read() -> Any:
        definition = from_snapshot(snapshot)
        places = Places.of(definition)
        workings = Workings(definition, places)
        for place in range(len(places)):
            workings.reads(place)
            workings.is_templated(place)
            places.place_of[places.steps[place].key]
        list(workings.rows(5))
        return definition, places, workings, workings.graph.nodes[0], workings.output_reads

    tracemalloc.start()
    try:
        definition, *_ = read()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < size_of(definition, len(snapshot))
