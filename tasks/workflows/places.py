"""Places: a definition's steps in an order in which each stands after its parents, and its graph by these numbers.

Rows of steps are numbered by place, so that locks taken in order of place are taken in one order by everybody.
``stored.py`` keeps them with each stored definition: flat arrays (``adjacency.py``, ``keys.py``, ``traits.py``), some
50 bytes a step in all.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heapify, heappop, heappush

from tasks.workflows.adjacency import Adjacency
from tasks.workflows.definition.model import StepDefinition, WorkflowDefinition
from tasks.workflows.definition.packed import Packed
from tasks.workflows.keys import Keys, PlaceOf
from tasks.workflows.traits import Traits, TraitsByPlace


@dataclass(frozen=True)
class Places:
    """A definition's steps by place, from 0. The same definition always has the same places.

    ``steps``: each after all of its parents; in the order in which they were written wherever that is one.
    ``keys``, ``traits``: theirs. ``parents``, ``children``: for each place the places of these, ascending.
    """

    steps: Sequence[StepDefinition]
    keys: Keys
    traits: TraitsByPlace
    parents: Adjacency
    children: Adjacency

    @classmethod
    def of(cls, definition: WorkflowDefinition) -> Places:
        """The places of a valid definition, in O((steps + needs) log steps). Raises ValueError for a cycle."""
        written = _Written.of(definition)
        order = _in_order(written.needs)
        place_at = array("i", [0]) * len(order)
        for place, number in enumerate(order):
            place_at[number] = place
        parents = Adjacency.of(sorted(place_at[above] for above in written.needs[number]) for number in order)
        return cls(
            _put_in_order(definition.steps, order),
            Keys([written.keys[number] for number in order]),
            written.traits.in_order(order),
            parents,
            parents.inverse(),
        )

    @cached_property
    def place_of(self) -> Mapping[str, int]:
        """The place of each key."""
        return PlaceOf(self.keys)

    @property
    def leaves(self) -> Sequence[int]:
        """The places that nothing needs."""
        return self.children.empty()

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Every (parent, child), in order."""
        return [(parent, child) for parent, below in enumerate(self.children) for child in below]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class _Written:
    """What there is of steps by their numbers, as they were written; each step is looked at once."""

    keys: list[str]
    traits: TraitsByPlace
    needs: Adjacency

    @classmethod
    def of(cls, definition: WorkflowDefinition) -> _Written:
        number_of: dict[str, int] = {}
        distinct: dict[Traits, int] = {}
        traits, ends, needed = array("H"), array("i", [0]), array("i")
        # Needs of steps that stand further down.
        ahead: list[tuple[int, str]] = []
        for number, step in enumerate(definition.steps):
            number_of[step.key] = number
            traits.append(distinct.setdefault(Traits.of(step), len(distinct)))
            for key in dict.fromkeys(step.needs):
                if key not in number_of:
                    ahead.append((len(needed), key))
                needed.append(number_of.get(key, -1))
            ends.append(len(needed))
        for at, key in ahead:
            needed[at] = number_of[key]
        return cls(list(number_of), TraitsByPlace(tuple(distinct), traits), Adjacency(ends, needed))


def _put_in_order(steps: Sequence[StepDefinition], order: Sequence[int]) -> Sequence[StepDefinition]:
    if all(place == number for place, number in enumerate(order)):
        return steps
    return steps.in_order(order) if isinstance(steps, Packed) else tuple(steps[number] for number in order)


def _in_order(needs: Adjacency) -> array[int]:
    """The numbers of the steps as written, each after its parents and else the least first (Kahn 1962)."""
    left = array("i", map(len, needs))
    below = needs.inverse()
    free = list(needs.empty())
    heapify(free)
    order = array("i")
    while free:
        number = heappop(free)
        order.append(number)
        for child in below[number]:
            left[child] -= 1
            if left[child] == 0:
                heappush(free, child)
    if len(order) < len(left):
        raise ValueError("the steps of a cycle have no places")
    return order
