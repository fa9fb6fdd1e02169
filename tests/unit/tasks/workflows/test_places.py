from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.workflows.definition.model import Action, StepDefinition, WorkflowDefinition
from tasks.workflows.places import Places
from tasks.workflows.traits import Traits


def definition_of(needs: dict[str, Sequence[str]]) -> WorkflowDefinition:
    return WorkflowDefinition(
        "w", tuple(StepDefinition(key, Action("task"), tuple(above)) for key, above in needs.items())
    )


def keys(places: Places, numbers: Sequence[int]) -> list[str]:
    return [places.steps[number].key for number in numbers]


def test_steps_keep_the_order_in_which_they_were_written_where_they_can() -> None:
    written = {"a": (), "b": ("a",), "x": (), "c": ("b", "a"), "y": ("x",)}
    places = Places.of(definition_of(written))
    assert [step.key for step in places.steps] == list(written)
    assert tuple(places.parents) == ((), (0,), (), (0, 1), (2,))
    assert tuple(places.children) == ((1, 3), (3,), (4,), (), ())
    assert list(places.leaves) == [3, 4]
    assert places.edges == [(0, 1), (0, 3), (1, 3), (2, 4)]


def test_a_step_written_before_its_parents_stands_after_them() -> None:
    places = Places.of(definition_of({"last": ("mid",), "mid": ("first",), "other": (), "first": ()}))
    assert [step.key for step in places.steps] == ["other", "first", "mid", "last"]
    assert places.place_of["mid"] == 2


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Sequence[str]]:
    count = draw(st.integers(1, 25))
    order = draw(st.permutations(range(count)))
    rank = {number: place for place, number in enumerate(order)}
    return {
        f"s{number}": draw(st.lists(st.sampled_from(above), unique=True, max_size=4)) if above else ()
        for number in range(count)
        for above in [[f"s{other}" for other in range(count) if rank[other] < rank[number]]]
    }


@given(graphs())
def test_every_step_has_one_place_after_its_parents(needs: dict[str, Sequence[str]]) -> None:
    places = Places.of(definition_of(needs))
    assert sorted(places.place_of) == sorted(needs)
    for place, step in enumerate(places.steps):
        assert places.place_of[step.key] == place
        assert places.keys[place] == step.key
        assert places.traits[place] == Traits("task")
        assert set(keys(places, places.parents[place])) == set(needs[step.key])
        assert all(parent < place for parent in places.parents[place])
        assert set(keys(places, places.children[place])) == {key for key in needs if step.key in needs[key]}
    assert places == Places.of(definition_of(needs))


def test_a_cycle_has_no_places() -> None:
    with pytest.raises(ValueError, match="cycle"):
        Places.of(definition_of({"a": ("b",), "b": ("a",), "c": ()}))


def test_ten_thousand_steps_take_no_time() -> None:
    needs: dict[str, Sequence[str]] = {
        f"s{n}": [f"s{n - back}" for back in (1, 7) if n >= back] for n in range(10_000)
    }
    definition = definition_of(needs)
    began = time.process_time()
    assert len(Places.of(definition)) == 10_000
    assert time.process_time() - began < 2
