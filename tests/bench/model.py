"""What a bench is: sides that run in turn, the numbers that each run gives, and the bars that they must keep to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.bench.system import Standing

Sample = Mapping[str, float]
"""What one run measured, by metric; units stand in the names."""


class BenchError(Exception):
    """A bench can't be run, or what was measured broke a promise: its times would say nothing."""


class Side(NamedTuple):
    """One of the things that are compared. ``run`` does the work once and measures it."""

    name: str
    run: Callable[[], Sample]


@dataclass(frozen=True)
class Bar:
    """A promise about speed. ``least`` and ``most`` are what the median must keep to.

    With a ``baseline`` the metric of ``side`` is divided by the baseline's, pair by pair; else it is taken as it is.
    """

    number: str
    what: str
    metric: str
    side: str
    baseline: str | None = None
    least: float | None = None
    most: float | None = None

    def is_met_by(self, value: float) -> bool:
        """Whether ``value`` keeps to the bar."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def values(self, rounds: list[Round]) -> list[float]:
        """One value a round, ratios where there is a baseline."""
        if self.baseline is None:
            return [each[self.side][self.metric] for each in rounds]
        return [_ratio(each[self.side][self.metric], each[self.baseline][self.metric]) for each in rounds]


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else float("inf")


Round = dict[str, Sample]
"""One run of each side, by the side's name."""


class Series(NamedTuple):
    """A curve over time: ``seconds`` from the run's start."""

    name: str
    unit: str
    seconds: list[float]
    values: list[float]


@dataclass
class Outcome:
    """All that a bench measured. ``notes`` are sentences for the reader."""

    rounds: list[Round]
    series: list[Series] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """How to run: ``pairs`` times each side, in ``folder``. A smoke run is small, and measures nothing.

    ``standing`` is what smoke runs one after another may share, so that they need not start it each.
    """

    folder: Path
    pairs: int = 5
    smoke: bool = False
    say: Callable[[str], None] = print
    standing: Standing | None = None

    def sized(self, full: float, smoke: float) -> float:
        """``full``, or ``smoke`` in a smoke run: a number of seconds, rows or tasks."""
        return smoke if self.smoke else full

    def counted(self, full: int, smoke: int) -> int:
        """As ``sized``, for whole numbers."""
        return smoke if self.smoke else full


@dataclass(frozen=True)
class Bench:
    """One bench: its name on the command line, what it answers, its bars, and how it runs."""

    name: str
    about: str
    bars: tuple[Bar, ...]
    run: Callable[[Plan], Outcome]
