"""A point of a metric: what it tells, of which calls, in which time.

A point is *cumulative* where it tells of all since ``start_ns``, else it tells of the time from ``start_ns`` to
``time_ns`` alone. Times are nanoseconds since 1970. Values are in our units: ms, tokens, tokens per second.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

# Points of GenAI metrics in one request; OpenTelemetry's Collector sends 8,192 at a time where nobody says otherwise.
MAX_POINTS = 20_000
_EXAMPLES = 5


class Explicit(NamedTuple):
    """Counts of values by explicit bounds: ``counts[i]`` is of values in (``bounds[i - 1]``, ``bounds[i]``]."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]


class Exponential(NamedTuple):
    """Counts by powers of b = 2^(2^-scale): ``counts[i]`` is of values in (b^(offset + i), b^(offset + i + 1)].

    ``zeros`` counts values that are not above ``threshold``.
    """

    scale: int
    zeros: int
    threshold: float
    offset: int
    counts: tuple[int, ...]


Buckets = Explicit | Exponential


@dataclass(frozen=True, slots=True)
class Values:
    """What values there were. ``total`` is None where a sender keeps no sum; bounds are None where it keeps none.

    All is as it was sent. ``unit`` is what a value is multiplied by to be in our unit; where ``inverse``, 1 is
    divided by that: seconds for a token become tokens in a second.
    """

    count: int
    total: Decimal | None
    buckets: Buckets
    least: float | None
    most: float | None
    unit: Decimal
    inverse: bool


class Subject(NamedTuple):
    """Whose calls: the dimensions of the rollups, and who saw them. ``error_type`` is None of successful ones."""

    model: str
    provider: str
    task_type: str
    environment: str
    error_type: str | None
    service: str | None
    endpoint: str | None


@dataclass(frozen=True, slots=True)
class Point:
    """One point. ``stream`` is a digest of all that makes it one of its stream; ``kin`` the same without the metric
    and the kind of tokens that it counts, so that those of prompts and answers of the same calls find each other."""

    stream: bytes
    kin: bytes
    metric: str
    kind: str
    cumulative: bool
    start_ns: int
    time_ns: int
    subject: Subject
    values: Values


@dataclass
class Reading:
    """What was read: points, and how many were refused for which reason, with examples."""

    points: list[Point] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))

    def refuse(self, reason: str, example: str, count: int = 1) -> None:
        """Notes that ``count`` points are not taken."""
        if count:
            self.refused[reason] += count
            examples = self.examples[reason]
            if len(examples) <= _EXAMPLES:
                examples[example[:100]] = None

    @property
    def refusals(self) -> int:
        """How many points were refused."""
        return self.refused.total()

    def explained(self) -> str:
        """Why points were refused, in words; empty where none was."""
        return " ".join(
            f"{count} {'point' if count == 1 else 'points'} {reason} ({self._shown(reason)})."
            for reason, count in self.refused.most_common()
        )

    def _shown(self, reason: str) -> str:
        examples = list(self.examples[reason])
        return ", ".join(examples[:_EXAMPLES]) + (", …" if len(examples) > _EXAMPLES else "")
