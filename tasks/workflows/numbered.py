"""The base of sequences that make their values when they are asked for: flat arrays and packed text. Pure."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

T_co = TypeVar("T_co", covariant=True)


class Numbered(Sequence[T_co]):
    """Values by number, from 0, that never change. A subclass has ``__len__`` and ``_at``; slices are tuples."""

    __slots__ = ()

    @abstractmethod
    def _at(self, number: int) -> T_co:
        """The value of a number. Raises IndexError where there is none."""

    @overload
    def __getitem__(self, number: int) -> T_co: ...

    @overload
    def __getitem__(self, number: slice) -> tuple[T_co, ...]: ...

    def __getitem__(self, number: int | slice) -> T_co | tuple[T_co, ...]:
        if isinstance(number, slice):
            return tuple(self._at(each) for each in range(*number.indices(len(self))))
        return self._at(number)
