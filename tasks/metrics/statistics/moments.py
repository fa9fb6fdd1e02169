"""Count, sum and sum of squares of a sample: all that a mean, a variance and a t test need, and they add up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Moments:
    """A sample by its first two power sums. ``a + b`` is the sample of both."""

    count: int = 0
    total: float = 0.0
    square_total: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> Moments:
        """The moments of ``values``."""
        kept = list(values)
        return cls(len(kept), math.fsum(kept), math.fsum(value * value for value in kept))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.square_total + other.square_total)

    @property
    def mean(self) -> float:
        """The mean; NaN of nothing."""
        return self.total / self.count if self.count else math.nan

    @property
    def variance(self) -> float:
        """The unbiased variance, never below 0 by rounding; NaN of fewer than two values."""
        if self.count < 2:
            return math.nan
        return max(0.0, (self.square_total - self.total * self.total / self.count) / (self.count - 1))

    @property
    def squared_error(self) -> float:
        """The squared standard error of the mean; NaN of fewer than two values."""
        return self.variance / self.count if self.count else math.nan
