"""Exponential histograms: percentiles within 0.542 % from counts that merge by addition.

OpenTelemetry's exponential histogram (Metrics data model, "ExponentialHistogram", "All scales: use the logarithm
function") at scale 6, kept sparse: bucket i counts the values in (2^(i/64), 2^((i+1)/64)]. That buckets of a constant
ratio bound the relative error of every quantile, and that they merge without loss, is shown in Masson, Rim and Lee,
"DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019. The type
``histogram`` and the functions ``histogram_…`` of migration 0020 do the same in PostgreSQL.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

SCALE = 6
BASE = 2.0 ** (2.0**-SCALE)
RELATIVE_ERROR = (BASE - 1) / (BASE + 1)
# Values below count as 0, in a bucket of their own.
LEAST = 1e-9
ZERO_INDEX = -32768

_BUCKETS_PER_OCTAVE = 1 << SCALE


def index_of(value: float) -> int:
    """The bucket of ``value``. Raises ValueError where it is negative or no finite number."""
    if not 0 <= value < math.inf:
        raise ValueError(f"a histogram counts finite values that are not negative, not {value}")
    if value < LEAST:
        return ZERO_INDEX
    return math.ceil(math.log2(value) * _BUCKETS_PER_OCTAVE) - 1


def value_of(index: int) -> float:
    """The value that stands for a bucket: within ``RELATIVE_ERROR`` of every value in it."""
    return 0.0 if index == ZERO_INDEX else 2 * math.exp2((index + 1) / _BUCKETS_PER_OCTAVE) / (1 + BASE)


@dataclass
class Histogram:
    """Counts by bucket index. ``counts`` holds no zeros."""

    counts: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Iterable[float]) -> Histogram:
        """The histogram of some values. Raises ValueError as ``index_of``."""
        made = cls()
        for value in values:
            made.record(value)
        return made

    @classmethod
    def from_arrays(cls, indexes: Iterable[int] | None, counts: Iterable[int] | None) -> Histogram:
        """What a column of the type ``histogram`` holds: ``(column).indexes`` and ``(column).counts``."""
        made = cls()
        made.add(dict(zip(indexes or (), counts or (), strict=True)))
        return made

    def record(self, value: float, count: int = 1) -> None:
        """Counts ``value`` ``count`` times. Raises ValueError as ``index_of``."""
        if count > 0:
            index = index_of(value)
            self.counts[index] = self.counts.get(index, 0) + count

    def add(self, counts: Mapping[int, int]) -> None:
        """Adds counts by bucket index."""
        own = self.counts
        for index, count in counts.items():
            own[index] = own.get(index, 0) + count

    def merge(self, other: Histogram) -> Histogram:
        """The histogram of all values of both."""
        merged = Histogram(dict(self.counts))
        merged.add(other.counts)
        return merged

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.counts.values())

    def arrays(self) -> tuple[list[int], list[int]]:
        """Indexes, ascending, and their counts: the form of the type ``histogram``."""
        indexes = sorted(self.counts)
        return indexes, [self.counts[index] for index in indexes]

    def quantile(self, q: float) -> float | None:
        """The ``q``-quantile (0 to 1) by nearest rank, within ``RELATIVE_ERROR``; None of nothing.

        Nearest rank is the least value that a share of ``q`` does not exceed: PostgreSQL's ``percentile_disc``.
        Raises ValueError for a ``q`` outside of 0 to 1.
        """
        return self.quantiles((q,))[0]

    def quantiles(self, shares: Iterable[float]) -> list[float | None]:
        """As ``quantile``, for several at once and in one pass over the buckets where they ascend."""
        wanted = list(shares)
        if not all(0 <= q <= 1 for q in wanted):
            raise ValueError("a quantile is between 0 and 1")
        total = self.count
        if total == 0:
            return [None] * len(wanted)
        indexes, counts = self.arrays()
        found: list[float | None] = [None] * len(wanted)
        place, up_to = -1, 0
        for position in sorted(range(len(wanted)), key=wanted.__getitem__):
            while up_to < max(wanted[position] * total, 1):
                place += 1
                up_to += counts[place]
            found[position] = value_of(indexes[place])
        return found
