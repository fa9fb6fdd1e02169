"""What one worker has claimed together and begins one after the other: what is held, and what was not begun yet.

The thread that works and the one that renews leases share it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

One = TypeVar("One")

# What waits behind one that takes longer than this is given back.
_PATIENCE_S = 0.5


class Holding(Generic[One]):
    """``claimed``: each with its number, a step's place or an item's index, in the order in which they are begun."""

    def __init__(self, claimed: Sequence[tuple[int, One]]) -> None:
        self._lock = threading.Lock()
        self._todo = deque(claimed)
        self._held = {number for number, _ in claimed}
        self._began_at = time.monotonic()

    def next(self) -> One | None:
        """The one to begin with now; None: there is no other."""
        with self._lock:
            self._began_at = time.monotonic()
            return self._todo.popleft()[1] if self._todo else None

    @property
    def more(self) -> bool:
        """Whether others wait to be begun."""
        return bool(self._todo)

    @property
    def late(self) -> bool:
        """Whether the one that was begun last takes too long for those behind it."""
        return time.monotonic() - self._began_at > _PATIENCE_S

    def drop(self, numbers: Iterable[int]) -> None:
        """These are held no more."""
        with self._lock:
            self._held.difference_update(numbers)

    def take_back(self) -> list[int]:
        """Those that were not begun: they never are, here, and are held no more."""
        with self._lock:
            given = [number for number, _ in self._todo]
            self._todo.clear()
            self._held.difference_update(given)
        return given

    @property
    def held(self) -> list[int]:
        """What is held, ascending."""
        with self._lock:
            return sorted(self._held)
