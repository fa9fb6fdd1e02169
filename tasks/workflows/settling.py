"""What the end of steps means for the steps below them: counters, verdicts, and skips that run on. Pure.

A step's row counts its parents: how many are open, and of those that ended how many succeeded, how many can't be
passed over, and how many are branches that name it, or chose it. So its verdict needs no look at its parents' rows.
``states.after_parents`` is the rule; a test compares the two on random graphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.workflows.states import BLOCKING

# By place, the places below (or above) it.
Children = Sequence[Sequence[int]] | Mapping[int, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Counters:
    """Of a step's parents: ``pending`` open; ``passed`` succeeded; ``blocked`` failed, timed out or cancelled;
    ``named``: branches that succeeded and name it; ``chosen``: those of them that chose it."""

    pending: int
    passed: int = 0
    blocked: int = 0
    named: int = 0
    chosen: int = 0

    def verdict(self) -> str:
        """``pending ready skipped cancelled``, as ``states.after_parents``."""
        if self.pending:
            return "pending"
        if self.blocked:
            return "cancelled"
        if self.named and not self.chosen:
            return "skipped"
        # Without parents it is ready; with parents of which none succeeded, all were skipped.
        return "ready" if self.passed else "skipped"

    def plus(self, other: Counters) -> Counters:
        """Both added up; ``other.pending`` is what ended, and taken away."""
        return Counters(
            self.pending - other.pending,
            self.passed + other.passed,
            self.blocked + other.blocked,
            self.named + other.named,
            self.chosen + other.chosen,
        )


@dataclass(frozen=True, slots=True)
class End:
    """How a step ended. Of a branch: the places that it names, and those that it chose."""

    state: str
    named: frozenset[int] = frozenset()
    chosen: frozenset[int] = frozenset()

    def means(self, child: int) -> Counters:
        """What this end adds to the counters of a child."""
        names = self.state == "succeeded" and child in self.named
        return Counters(
            pending=1,
            passed=int(self.state == "succeeded"),
            blocked=int(self.state in BLOCKING),
            named=int(names),
            chosen=int(names and child in self.chosen),
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a pending step: its counters, and its state (``pending`` where it goes on waiting)."""

    counters: Counters
    state: str


class Settlement:
    """Carries the ends of steps down the graph, as far as they go.

    Rows are asked for when they are needed: while ``wanted()`` names any, lock them and give them to ``load``. It
    asks for more levels each time, so that a skip down a long line takes few rounds.
    """

    def __init__(self, children: Children, ends: Mapping[int, End]) -> None:
        self._children = children
        self._rows: dict[int, Counters] = {}
        self._changes: dict[int, Change] = {}
        self._blocked: set[int] = set()
        self._left: list[tuple[int, End]] = sorted(ends.items())
        self._levels = 1
        self._work()

    def wanted(self) -> list[int]:
        """Places whose rows are needed, ascending; none: it is done."""
        if not self._blocked:
            return []
        found = set(self._blocked)
        level: Iterable[int] = self._blocked
        for _ in range(self._levels - 1):
            level = {child for place in level for child in self._children[place]} - found
            found |= level
        self._levels *= 2
        return sorted(found - self._rows.keys())

    def load(self, rows: Mapping[int, Counters]) -> None:
        """Takes the counters of rows that are pending and locked; a place that is wanted and not among them is no
        longer pending, and stays as it is."""
        self._rows.update(rows)
        for place in self._blocked - rows.keys():
            self._rows.setdefault(place, Counters(-1))
        self._blocked.clear()
        self._work()

    def changes(self) -> dict[int, Change]:
        """What to write, by place. Only complete when nothing is wanted any more."""
        return self._changes

    def _work(self) -> None:
        waiting: list[tuple[int, End]] = []
        while self._left:
            place, end = self._left.pop()
            below = self._children[place]
            missing = [child for child in below if child not in self._rows]
            if missing:
                self._blocked.update(missing)
                waiting.append((place, end))
                continue
            for child in below:
                self._tell(child, end)
        self._left = waiting

    def _tell(self, child: int, end: End) -> None:
        before = self._changes.get(child)
        counters = before.counters if before else self._rows[child]
        if counters.pending < 1:
            return
        counters = counters.plus(end.means(child))
        state = counters.verdict()
        self._changes[child] = Change(counters, state)
        if state in ("skipped", "cancelled"):
            self._left.append((child, End(state)))


def reopened(
    parents: Sequence[Sequence[int]],
    states: Sequence[str],
    choices: Mapping[int, tuple[frozenset[int], frozenset[int]]],
) -> dict[int, Change]:
    """What a retry makes of the steps that did not end well: their counters, and whether each is ``ready`` now or
    ``pending`` on a parent that runs again.

    ``states`` are those of the run's steps by place, all terminal. ``choices``: what each branch that succeeded names
    and chose. What succeeded stays, and so do skips: above a skipped step nothing ended badly.
    """
    again = [place for place, state in enumerate(states) if state in BLOCKING]
    open_again = set(again)
    changes: dict[int, Change] = {}
    for place in again:
        counters = Counters(pending=len(parents[place]))
        for parent in parents[place]:
            if parent not in open_again:
                named, chosen = choices.get(parent, (frozenset(), frozenset()))
                counters = counters.plus(End(states[parent], named, chosen).means(place))
        changes[place] = Change(counters, counters.verdict() if parents[place] else "ready")
    return changes
