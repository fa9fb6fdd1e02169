"""Folds a large graph of steps into few groups that a person can look at. Pure.

As long as there are too many: groups with the same parents and the same children become one (a fan-out), then groups
that follow each other alone (a line). So what is series-parallel folds along its own structure. What is left folds by
levels. The groups form an acyclic graph in which everything stands after what it waits for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

from tasks.workflows.places import Places

# Each round takes time linear in steps and needs; what needs more rounds is folded by levels.
_ROUNDS = 48
_EDGES_PER_GROUP = 4


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that are shown as one: their places, ascending; ``shape``: ``step`` (a single one), ``line``, ``fan``, or
    ``part`` (steps of the same levels)."""

    places: tuple[int, ...]
    shape: str = "step"


@dataclass(frozen=True, slots=True)
class Folded:
    """Groups, each after those that it waits for, and who waits for whom, by number."""

    groups: tuple[Group, ...]
    edges: tuple[tuple[int, int], ...]


def fold(places: Places, most: int) -> Folded:
    """At most ``most`` groups (at least 1) that hold every step once; single steps where they are few enough."""
    graph = _Graph(
        {place: Group((place,)) for place in range(len(places))},
        {place: set(above) for place, above in enumerate(places.parents)},
        {place: set(below) for place, below in enumerate(places.children)},
    )
    for _ in range(_ROUNDS):
        if not graph.too_large(most) or not (graph.merge_fans() or graph.merge_lines()):
            break
    if graph.too_large(most):
        graph.merge_levels(most)
    return graph.folded()


class _Graph:
    """Groups by the place of their first step, with their parents and children by the same numbers."""

    def __init__(self, groups: dict[int, Group], parents: dict[int, set[int]], children: dict[int, set[int]]) -> None:
        self._groups, self._parents, self._children = groups, parents, children

    def too_large(self, most: int) -> bool:
        edges = sum(map(len, self._children.values()))
        return len(self._groups) > most or (len(self._groups) > 1 and edges > max(most, 8) * _EDGES_PER_GROUP)

    def merge_fans(self) -> bool:
        return self._merge_alike(lambda n: (frozenset(self._parents[n]), frozenset(self._children[n])), "fan")

    def merge_lines(self) -> bool:
        head: dict[int, int] = {}
        for number in self._in_order():
            [above] = self._parents[number] if len(self._parents[number]) == 1 else [None]
            follows = above is not None and len(self._children[above]) == 1
            head[number] = head[above] if above is not None and follows else number
        return self._merge_alike(head.__getitem__, "line")

    def merge_levels(self, most: int) -> None:
        level: dict[int, int] = {}
        for number in self._in_order():
            level[number] = 1 + max((level[above] for above in self._parents[number]), default=-1)
        band = -(-(max(level.values()) + 1) // most)
        self._merge_alike(lambda number: level[number] // band, "part")

    def _merge_alike(self, key: Callable[[int], Hashable], shape: str) -> bool:
        alike: dict[Hashable, list[int]] = defaultdict(list)
        for number in sorted(self._groups):
            alike[key(number)].append(number)
        if len(alike) == len(self._groups):
            return False
        into = {number: members[0] for members in alike.values() for number in members}
        self._groups = {members[0]: self._one_of(members, shape) for members in alike.values()}
        self._parents = _renamed(self._parents, into)
        self._children = _renamed(self._children, into)
        return True

    def _one_of(self, members: list[int], shape: str) -> Group:
        if len(members) == 1:
            return self._groups[members[0]]
        return Group(tuple(sorted(place for number in members for place in self._groups[number].places)), shape)

    def _in_order(self) -> list[int]:
        left = {number: len(above) for number, above in self._parents.items()}
        free = sorted(number for number, count in left.items() if count == 0)
        order: list[int] = []
        while free:
            number = heappop(free)
            order.append(number)
            for child in self._children[number]:
                left[child] -= 1
                if left[child] == 0:
                    heappush(free, child)
        return order

    def folded(self) -> Folded:
        order = self._in_order()
        number_of = {number: place for place, number in enumerate(order)}
        edges = sorted((number_of[above], number_of[below]) for above in order for below in self._children[above])
        return Folded(tuple(self._groups[number] for number in order), tuple(edges))


def _renamed(ways: Mapping[int, Iterable[int]], into: Mapping[int, int]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    for number, others in ways.items():
        own = into[number]
        found[own].update(into[other] for other in others if into[other] != own)
    return {number: found[number] for number in sorted(set(into.values()))}
