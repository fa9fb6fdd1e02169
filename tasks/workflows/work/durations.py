"""What a process has learned of how long steps take: short ones are worth being taken together."""

from __future__ import annotations

from array import array

from tasks.workflows.work.contexts import RunContext

_SHORT_S = 0.005
_WEIGHT = 0.3
# Each of so many sets holds so many steps, told apart by 32 bits of their hashes: 512 kB. A forgotten one is sent and
# takes what follows along, so that few must be: of 20,000 none is, of 40,000 one in 250. (Where one in 100 was, a run
# of 10,000 steps took twice as long.)
_SETS = 4096
_WAYS = 16


class Durations:
    """How long attempts at steps took in this process, by workflow and step; made by ``Runtime.kept``.

    A table of fixed size (a set-associative cache): of more than some 40,000 steps it forgets some by chance.
    """

    def __init__(self, _runtime: object) -> None:
        self._tags = array("I", [0]) * (_SETS * _WAYS)
        self._seconds = array("f", [0.0]) * (_SETS * _WAYS)

    def learn(self, context: RunContext, place: int, seconds: float) -> None:
        """An attempt took so long."""
        first, tag = _slot(context, place)
        at = self._find(first, tag)
        if at is None:
            # In place of an empty one, else of one by chance.
            at = self._find(first, 0)
            at = first + tag % _WAYS if at is None else at
        elif seconds <= self._seconds[at]:
            # What took long once is not taken for short soon.
            seconds = self._seconds[at] + _WEIGHT * (seconds - self._seconds[at])
        self._tags[at], self._seconds[at] = tag, seconds

    def short_s(self, context: RunContext, place: int) -> float | None:
        """How long the step takes, where it is known to be short."""
        if context.is_slow(place):
            return None
        at = self._find(*_slot(context, place))
        return self._seconds[at] if at is not None and self._seconds[at] < _SHORT_S else None

    def close(self) -> None:
        """Forgets all."""
        self._tags = array("I", [0]) * len(self._tags)

    def _find(self, first: int, tag: int) -> int | None:
        tags = self._tags[first : first + _WAYS]
        return first + tags.index(tag) if tag in tags else None


def _slot(context: RunContext, place: int) -> tuple[int, int]:
    """Where the set of a step begins, and its tag, which is not 0."""
    hashed = hash((context.row.name, context.key(place)))
    return hashed % _SETS * _WAYS, (hashed >> 32) & 0xFFFFFFFF or 1
