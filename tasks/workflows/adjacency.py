"""Lists of numbers by number, in flat arrays: a graph takes four bytes an edge. Pure.

``places.py`` has a definition's parents and children so (compressed sparse rows), ``workings.py`` what it finds out.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Sequence

from tasks.workflows.numbered import Numbered

Numbers = tuple[int, ...]


class Adjacency(Numbered[Numbers]):
    """A list of numbers for each number from 0. It never changes."""

    __slots__ = ("_ends", "_values")

    def __init__(self, ends: array[int], values: array[int]) -> None:
        self._ends, self._values = ends, values

    @classmethod
    def of(cls, lists: Iterable[Iterable[int]]) -> Adjacency:
        """These lists, as they come."""
        ends, values = array("i", [0]), array("i")
        for numbers in lists:
            values.extend(numbers)
            ends.append(len(values))
        return cls(ends, values)

    def inverse(self) -> Adjacency:
        """For each number those in whose lists it stands, ascending. All of them must have a list."""
        ends = array("i", [0]) * len(self._ends)
        for value in self._values:
            ends[value + 1] += 1
        for number in range(len(self)):
            ends[number + 1] += ends[number]
        free, values = ends[:], array("i", [0]) * len(self._values)
        for number in range(len(self)):
            for at in range(self._ends[number], self._ends[number + 1]):
                value = self._values[at]
                values[free[value]] = number
                free[value] += 1
        return Adjacency(ends, values)

    def empty(self) -> array[int]:
        """The numbers whose list is empty, ascending."""
        ends = self._ends
        return array("i", (number for number in range(len(self)) if ends[number] == ends[number + 1]))

    def _at(self, number: int) -> Numbers:
        """The list of a number. Raises IndexError for one that has none; -1 is not the last one."""
        if number < 0:
            raise IndexError(number)
        return tuple(self._values[self._ends[number] : self._ends[number + 1]])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Adjacency):
            return NotImplemented
        return self._ends == other._ends and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Adjacency.of({list(self)})"


class Noted:
    """A list of numbers for each number below ``count`` that is known yet. Safe to share between threads."""

    def __init__(self, count: int) -> None:
        # Where each list begins; -1: it is not known. A list is its length and its numbers; that at 0 is empty.
        self._starts = array("i", [-1]) * count
        self._values = array("i", [0])
        self._lock = threading.Lock()

    def get(self, number: int) -> Numbers | None:
        """The list of a number, or None."""
        start = self._starts[number]
        if start <= 0:
            return None if start else ()
        return tuple(self._values[start + 1 : start + 1 + self._values[start]])

    def note(self, number: int, numbers: Sequence[int]) -> None:
        """Keeps the list of a number, which is always the same."""
        with self._lock:
            start = len(self._values) if numbers else 0
            if numbers:
                self._values.extend((len(numbers), *numbers))
            self._starts[number] = start
