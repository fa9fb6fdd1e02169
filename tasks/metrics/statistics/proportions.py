"""Proportions: Wilson's interval of one, Miettinen and Nurminen's test and interval for the difference of two.

The score method is chosen because its interval is the inversion of its test, so the two never disagree, and because
it holds its level where rates are near 0 or 1 and samples are small, as success rates are; Wald's does not
(Newcombe, Statistics in Medicine 17, 1998, compares eleven). At no difference the test is Pearson's chi-squared with
(N - 1)/N, which Campbell (Statistics in Medicine 26, 2007) recommends for two by two tables.

O. Miettinen and M. Nurminen, "Comparative analysis of two rates", Statistics in Medicine 4 (1985), 213-226.
E. B. Wilson, "Probable inference", Journal of the American Statistical Association 22 (1927), 209-212.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tasks.metrics.statistics.estimate import Estimate
from tasks.metrics.statistics.student import NORMAL, normal_tail

_HALVINGS = 60


@dataclass(frozen=True)
class Proportion:
    """``hits`` of ``count`` trials."""

    hits: int = 0
    count: int = 0

    def __add__(self, other: Proportion) -> Proportion:
        return Proportion(self.hits + other.hits, self.count + other.count)

    @property
    def rate(self) -> float:
        """The share of hits; NaN of no trials."""
        return self.hits / self.count if self.count else math.nan


def wilson(sample: Proportion, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for the rate behind ``sample``, which needs at least one trial."""
    z = NORMAL.inv_cdf(0.5 + 0.5 * confidence)
    n, rate = sample.count, sample.rate
    scale = 1.0 + z * z / n
    center = (rate + z * z / (2 * n)) / scale
    margin = z * math.sqrt(rate * (1.0 - rate) / n + z * z / (4 * n * n)) / scale
    return max(0.0, center - margin), min(1.0, center + margin)


def miettinen_nurminen(first: Proportion, second: Proportion, confidence: float = 0.95) -> Estimate:
    """rate(first) - rate(second). Both need at least one trial."""
    difference = first.rate - second.rate
    z = NORMAL.inv_cdf(0.5 + 0.5 * confidence)
    low = _limit(first, second, difference, -1.0, z)
    high = _limit(first, second, difference, 1.0, z)
    return Estimate(difference, low, high, 2.0 * normal_tail(abs(_score(first, second, 0.0))))


def _limit(first: Proportion, second: Proportion, inside: float, outside: float, z: float) -> float:
    """The difference between ``inside`` (the estimate) and ``outside`` (-1 or 1) where the score reaches ``z``."""
    for _ in range(_HALVINGS):
        middle = 0.5 * (inside + outside)
        if abs(_score(first, second, middle)) <= z:
            inside = middle
        else:
            outside = middle
    return inside


def _score(first: Proportion, second: Proportion, supposed: float) -> float:
    """How many standard errors the difference lies from the ``supposed`` one."""
    distance = first.rate - second.rate - supposed
    if distance == 0.0:
        return 0.0
    rate = _restricted(first, second, supposed)
    raised = rate + supposed
    total = first.count + second.count
    variance = raised * (1.0 - raised) / first.count + rate * (1.0 - rate) / second.count
    variance *= total / (total - 1.0)
    return distance / math.sqrt(variance) if variance > 0.0 else math.copysign(math.inf, distance)


def _restricted(first: Proportion, second: Proportion, supposed: float) -> float:
    """The likeliest rate of ``second`` where that of ``first`` is higher by ``supposed``: the root of a cubic."""
    total, hits = first.count + second.count, first.hits + second.hits
    if supposed == 0.0:
        return hits / total
    cube = float(total)
    square = (first.count + 2 * second.count) * supposed - total - hits
    line = (second.count * supposed - total - 2 * second.hits) * supposed + hits
    constant = second.hits * supposed * (1.0 - supposed)
    third = square / (3.0 * cube)
    p = third**3 - square * line / (6.0 * cube * cube) + constant / (2.0 * cube)
    q = math.copysign(math.sqrt(max(0.0, third * third - line / (3.0 * cube))), p)
    angle = math.pi if q == 0.0 else math.pi + math.acos(max(-1.0, min(1.0, p / q**3)))
    rate = 2.0 * q * math.cos(angle / 3.0) - third
    return min(max(rate, 0.0, -supposed), 1.0, 1.0 - supposed)
