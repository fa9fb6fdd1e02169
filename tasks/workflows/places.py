"""Places: a definition's steps in an order in which each stands after its parents, and its graph by these numbers.

Rows of steps are numbered by place, so that locks taken in order of place are taken in one order by everybody.
``definitions.py`` keeps them with each stored definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from tasks.workflows.definition.model import StepDefinition, WorkflowDefinition

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """A definition's steps by place, from 0. The same definition always has the same places.

    ``steps``: each after all of its parents; in the order in which they were written wherever that is one.
    ``parents``, ``children``: for each place the places of these, ascending. ``leaves``: places that nothing needs.
    """

    steps: tuple[StepDefinition, ...]
    parents: tuple[Numbers, ...]
    children: tuple[Numbers, ...]
    place_of: Mapping[str, int]
    leaves: Numbers

    @classmethod
    def of(cls, definition: WorkflowDefinition) -> Places:
        """The places of a valid definition, in O((steps + needs) log steps). Raises ValueError for a cycle."""
        steps = tuple(definition.steps[number] for number in _in_order(definition))
        place_of = {step.key: place for place, step in enumerate(steps)}
        parents = tuple(tuple(sorted({place_of[key] for key in step.needs})) for step in steps)
        children: list[list[int]] = [[] for _ in steps]
        for place, above in enumerate(parents):
            for parent in above:
                children[parent].append(place)
        leaves = tuple(place for place, below in enumerate(children) if not below)
        return cls(steps, parents, tuple(map(tuple, children)), place_of, leaves)

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Every (parent, child), in order."""
        return [(parent, child) for parent, below in enumerate(self.children) for child in below]

    def __len__(self) -> int:
        return len(self.steps)


def _in_order(definition: WorkflowDefinition) -> list[int]:
    """The numbers of the steps as written, each after its parents and else the least first (Kahn 1962)."""
    number_of = {step.key: number for number, step in enumerate(definition.steps)}
    left = [len(set(step.needs)) for step in definition.steps]
    below: list[list[int]] = [[] for _ in left]
    for number, step in enumerate(definition.steps):
        for key in set(step.needs):
            below[number_of[key]].append(number)
    free = [number for number, count in enumerate(left) if count == 0]
    heapify(free)
    order: list[int] = []
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
