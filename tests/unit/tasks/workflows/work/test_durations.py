from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.places import Places
from tasks.workflows.store.runs import RunRow
from tasks.workflows.stored import StoredDefinition
from tasks.workflows.work.contexts import RunContext
from tasks.workflows.work.durations import Durations
from tasks.workflows.workings import Workings

NOW = datetime.now(UTC)


def context_of(name: str, count: int = 1) -> RunContext:
    """A run of steps side by side, behind one that asks a model."""
    steps = [{"key": f"s{n}", "kind": "task", "with": {"task": "t"}} for n in range(count)]
    asks = {"key": "asks", "kind": "ai", "with": {"prompt": "?"}}
    definition = parse_definition({"name": name, "steps": [*steps, asks]})
    places = Places.of(definition)
    workings = Workings(definition, places)
    stored = StoredDefinition(uuid.uuid4(), name, None, "h", definition, places, NOW, None, workings, 1)
    run_id = uuid.uuid4()
    row = RunRow(run_id, stored.id, name, None, 5, (), {}, None, "c", "u", None, None, None, None, 0, NOW, NOW)
    return RunContext(row, stored)


def test_only_what_is_known_to_be_short_is_told() -> None:
    durations, context = Durations(None), context_of("w", 3)
    durations.learn(context, 0, 0.001)
    durations.learn(context, 1, 1.0)
    assert durations.short_s(context, 0) == pytest.approx(0.001)
    assert durations.short_s(context, 1) is None
    assert durations.short_s(context, 2) is None
    assert durations.short_s(context_of("other", 3), 0) is None
    assert durations.short_s(context_of("w", 3), 0) == pytest.approx(0.001), "of the same workflow, told anew"
    durations.close()
    assert durations.short_s(context, 0) is None


def test_what_took_long_once_is_not_taken_for_short_soon() -> None:
    durations, context = Durations(None), context_of("w")
    for seconds in (0.001, 0.1, 0.001):
        durations.learn(context, 0, seconds)
    assert durations.short_s(context, 0) is None
    for _ in range(20):
        durations.learn(context, 0, 0.001)
    assert durations.short_s(context, 0) == pytest.approx(0.001, abs=0.001)


def test_what_is_slow_by_its_kind_is_never_short() -> None:
    durations, context = Durations(None), context_of("w")
    durations.learn(context, 1, 0.001)
    assert durations.short_s(context, 1) is None


def test_ten_thousand_steps_are_told_apart_and_none_is_forgotten() -> None:
    durations, context = Durations(None), context_of("w", 9999)
    for place in range(9999):
        durations.learn(context, place, 0.001 if place % 2 else 0.002)
    for place in range(9999):
        assert durations.short_s(context, place) == pytest.approx(0.001 if place % 2 else 0.002)


def test_of_more_than_there_is_room_for_some_are_known() -> None:
    durations, context = Durations(None), context_of("w", 9999)
    contexts = [replace(context, row=replace(context.row, name=f"w{n}")) for n in range(8)]
    for each in contexts:
        for place in range(9999):
            durations.learn(each, place, 0.001)
    known = sum(durations.short_s(each, place) is not None for each in contexts for place in range(9999))
    assert 40_000 < known <= 65_536
