from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from tasks.workflows.folding import Folded, fold
from tasks.workflows.places import Places
from tests.unit.tasks.workflows.test_places import definition_of, graphs


def places_of(needs: Mapping[str, Sequence[str]]) -> Places:
    return Places.of(definition_of(dict(needs)))


def shown(places: Places, folded: Folded) -> list[tuple[str, list[str]]]:
    return [(group.shape, [places.steps[place].key for place in group.places]) for group in folded.groups]


def fan(width: int) -> dict[str, Sequence[str]]:
    keys = [f"b{number}" for number in range(width)]
    return {"s": (), **dict.fromkeys(keys, ("s",)), "j": keys}


@given(graphs(), st.integers(1, 30))
def test_every_step_is_in_one_group_and_groups_stand_in_order(needs: dict[str, Sequence[str]], most: int) -> None:
    places = places_of(needs)
    folded = fold(places, most)
    group_of = {place: number for number, group in enumerate(folded.groups) for place in group.places}
    assert sorted(group_of) == list(range(len(places)))
    assert sum(len(group.places) for group in folded.groups) == len(places)
    assert len(folded.groups) <= max(most, 1)
    assert all(above < below for above, below in folded.edges)
    crossing = {(group_of[a], group_of[b]) for a, b in places.edges if group_of[a] != group_of[b]}
    assert set(folded.edges) == crossing


def test_few_steps_are_shown_one_by_one() -> None:
    places = places_of(fan(5))
    assert {shape for shape, _ in shown(places, fold(places, 7))} == {"step"}


def test_a_fan_out_folds_and_the_steps_around_it_do_not() -> None:
    places = places_of(fan(98))
    folded = fold(places, 10)
    assert [(shape, len(keys)) for shape, keys in shown(places, folded)] == [("step", 1), ("fan", 98), ("step", 1)]
    assert folded.edges == ((0, 1), (1, 2))


def test_lines_fold_as_far_as_they_are_lines() -> None:
    needs: dict[str, Sequence[str]] = {f"s{n}": (f"s{n - 1}",) if n else () for n in range(40)}
    needs |= {"side": (), "s20": ("s19", "side")}
    places = places_of(needs)
    assert [(shape, len(keys)) for shape, keys in shown(places, fold(places, 3))] == [
        ("line", 20),
        ("step", 1),
        ("line", 20),
    ]


def test_lines_that_run_side_by_side_fold_into_one() -> None:
    needs: dict[str, Sequence[str]] = {"s": ()}
    for branch in range(50):
        needs |= {f"a{branch}": ("s",), f"b{branch}": (f"a{branch}",)}
    needs["j"] = [f"b{branch}" for branch in range(50)]
    places = places_of(needs)
    assert [(shape, len(keys)) for shape, keys in shown(places, fold(places, 10))] == [
        ("step", 1),
        ("fan", 100),
        ("step", 1),
    ]


def test_ten_thousand_steps_fold_in_time_whatever_their_graph() -> None:
    random.seed(7)
    tangled = {
        f"s{n}": [f"s{random.randrange(max(0, n - 50), n)}" for _ in range(3)] if n else [] for n in range(10_000)
    }
    ladder = {f"s{n}": [f"s{n - back}" for back in (1, 2) if n >= back] for n in range(10_000)}
    for needs in (tangled, ladder, fan(9998)):
        places = places_of({key: sorted(set(above)) for key, above in needs.items()})
        began = time.process_time()
        assert len(fold(places, 100).groups) <= 100
        assert time.process_time() - began < 8
