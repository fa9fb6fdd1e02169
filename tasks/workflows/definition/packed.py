"""Many values kept as JSON text, a tenth of what they take as objects: each is read when it is asked for.

``form.py`` keeps the steps of large definitions so.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import orjson

from tasks.workflows.numbered import Numbered

T = TypeVar("T")
# How many values stay as they were read: those that are worked on are asked for some times in a row.
READ_KEPT = 128


class Packed(Numbered[T]):
    """Values by number, from 0; ``read`` makes each of its plain JSON value. They never change, and equal sequences
    are those of equal values."""

    def __init__(self, text: bytes, starts: array[int], ends: array[int], read: Callable[[Any], T]) -> None:
        self._text, self._starts, self._ends, self._read = text, starts, ends, read

        def one(number: int) -> T:
            return read(orjson.loads(text[starts[number] : ends[number]]))

        self._one = lru_cache(maxsize=READ_KEPT)(one)

    @classmethod
    def of(cls, plain: Iterable[Any], read: Callable[[Any], T]) -> Packed[T]:
        """These plain values, kept in canonical form (keys sorted, no space); only one at a time is looked at."""
        text = bytearray()
        ends = array("i", [0])
        for one in plain:
            text += orjson.dumps(one, option=orjson.OPT_SORT_KEYS)
            ends.append(len(text))
        return cls(bytes(text), ends[:-1], ends[1:], read)

    def in_order(self, numbers: Sequence[int]) -> Packed[T]:
        """The values of these numbers, in this order; the text is shared."""
        starts = array("i", (self._starts[number] for number in numbers))
        ends = array("i", (self._ends[number] for number in numbers))
        return Packed(self._text, starts, ends, self._read)

    @property
    def text_bytes(self) -> int:
        """How long the text is."""
        return len(self._text)

    def plain(self) -> Iterator[Any]:
        """The plain value of each."""
        return map(orjson.loads, self._texts())

    def json(self) -> bytes:
        """The canonical JSON of the list of all."""
        return b"[" + b",".join(self._texts()) + b"]"

    def _texts(self) -> Iterator[bytes]:
        return (self._text[start:end] for start, end in zip(self._starts, self._ends, strict=True))

    def _at(self, number: int) -> T:
        return self._one(range(len(self))[number])

    def __iter__(self) -> Iterator[T]:
        # Past what is kept, which would all be dropped for it.
        return map(self._read, self.plain())

    def __len__(self) -> int:
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(own == its for own, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} packed>"
