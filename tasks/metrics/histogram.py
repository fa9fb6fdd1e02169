"""Exponential histograms: percentiles within 0.542 % from counts that merge by addition.

OpenTelemetry's exponential histogram (Metrics data model, "ExponentialHistogram", "All scales: use the logarithm
function") at scale 6, kept sparse: bucket i counts the values in (2^(i/64), 2^((i+1)/64)]. That buckets of a constant
ratio bound the relative error of every quantile, and that they merge without loss, is shown in Masson, Rim and Lee,
"DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019. The type
``histogram`` (migration 0020) is the same in PostgreSQL. The rollups keep it packed into one number (migration 0046),
so that PostgreSQL merges by adding numbers: twelve decimal digits for each bucket.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tasks.metrics.statistics.moments import Moments

SCALE = 6
BASE = 2.0 ** (2.0**-SCALE)
RELATIVE_ERROR = (BASE - 1) / (BASE + 1)
# Values below count as 0, in a bucket of their own.
LEAST = 1e-9
ZERO_INDEX = -32768

_BUCKETS_PER_OCTAVE = 1 << SCALE
# Of the packed form: digits of a bucket, the bucket at the decimal point, and the least one but that of 0.
_DIGITS = 12
_POINT_INDEX = 576
_LEAST_PACKED = -639
_NOTHING = "0" * _DIGITS


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

    @classmethod
    def from_packed(cls, number: str | None) -> Histogram:
        """What a column of the type ``packed_histogram``, or a sum of it, holds, as text; None is empty.

        What is below 0.001 was packed as 0.
        """
        above, _, below = (number or "0").partition(".")
        digits = above.zfill(-len(above) // _DIGITS * -_DIGITS) + below.ljust(-len(below) // _DIGITS * -_DIGITS, "0")
        top = _POINT_INDEX - 1 - (-len(above) // _DIGITS)
        made = cls()
        for place in range(0, len(digits), _DIGITS):
            part = digits[place : place + _DIGITS]
            if part != _NOTHING:
                index = top - place // _DIGITS
                made.counts[index if index >= _LEAST_PACKED else ZERO_INDEX] = int(part)
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

    def log_moments(self, least: float) -> Moments:
        """The moments of the values' natural logarithms; values below ``least`` count as it."""
        logs = [(count, math.log(max(value_of(index), least))) for index, count in self.counts.items()]
        return Moments(self.count, math.fsum(n * log for n, log in logs), math.fsum(n * log * log for n, log in logs))

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
