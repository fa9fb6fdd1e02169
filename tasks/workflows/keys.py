"""The keys of a definition's steps by place, and their places by key: one text and two flat arrays. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate

from tasks.workflows.numbered import Numbered


class Keys(Numbered[str]):
    """Keys by place, from 0. They never change."""

    __slots__ = ("_ends", "_text")

    def __init__(self, keys: Sequence[str]) -> None:
        self._text = "".join(keys)
        self._ends = array("i", accumulate(map(len, keys), initial=0))

    def _at(self, place: int) -> str:
        """The key of a place. Raises IndexError for one that is not there; -1 is not the last one."""
        if place < 0:
            raise IndexError(place)
        return self._text[self._ends[place] : self._ends[place + 1]]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Keys):
            return NotImplemented
        return self._text == other._text and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]


class PlaceOf(Mapping[str, int]):
    """The place of each key, found by bisection; distinct keys are needed."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    @cached_property
    def _sorted(self) -> array[int]:
        """The places in the order of their keys; few processes ever ask for one."""
        keys = list(self._keys)
        return array("i", sorted(range(len(keys)), key=keys.__getitem__))

    def __getitem__(self, key: str) -> int:
        at = bisect_left(self._sorted, key, key=self._keys.__getitem__)
        if at < len(self._sorted) and self._keys[self._sorted[at]] == key:
            return self._sorted[at]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
