"""Judges one stretch of time of a model against its own earlier stretches of the same length, one metric at a time.

Means (log latency, quality, log of the mean cost) are held against the prediction interval of a random-effects
meta-analysis, errors against a beta-binomial: both count what the model did in the past, its daily rhythm included,
as ordinary. One-sided: only worse counts. A finding must be improbable (``ALPHA``) and large enough to matter
(``FLOORS``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tasks.metrics.statistics import beta_binomial, random_effects
from tasks.metrics.statistics.moments import Moments
from tasks.metrics.statistics.proportions import Proportion
from tasks.metrics.statistics.student import NORMAL, t_tail

METRICS = ("latency", "errors", "quality", "cost")
# One look a few minutes apart at each metric, window and subject makes some 10,000 looks a month for each subject.
ALPHA = 1e-6
# The least change that is reported: latency and cost as a ratio, errors and quality as a difference.
FLOORS = {"latency": 0.2, "errors": 0.05, "quality": 0.05, "cost": 0.2}
LEAST_EXECUTIONS = 30
LEAST_BLOCKS = 12
LEAST_BASELINE_EXECUTIONS = 200
# A block's mean of fewer values says little and its variance is not known at all.
_LEAST_IN_BLOCK = 2


@dataclass(frozen=True)
class Block:
    """What the executions of one stretch of time add up to; ``log_latency`` is of the logarithms of milliseconds."""

    outcomes: Proportion = field(default_factory=Proportion)
    log_latency: Moments = field(default_factory=Moments)
    quality: Moments = field(default_factory=Moments)
    cost: Moments = field(default_factory=Moments)

    def __add__(self, other: Block) -> Block:
        return Block(
            self.outcomes + other.outcomes,
            self.log_latency + other.log_latency,
            self.quality + other.quality,
            self.cost + other.cost,
        )

    @property
    def errors(self) -> Proportion:
        """The failures among the executions."""
        return Proportion(self.outcomes.count - self.outcomes.hits, self.outcomes.count)


@dataclass(frozen=True)
class Judgement:
    """``current`` against ``baseline``: geometric mean ms, error rate, mean score, or mean USD.

    ``change`` is positive where it is for the worse, in the unit of ``FLOORS``; ``p_value`` is the probability of
    such a stretch, or a worse one, had nothing changed.
    """

    metric: str
    baseline: float
    current: float
    change: float
    p_value: float
    executions: int
    baseline_executions: int

    @property
    def regressed(self) -> bool:
        """Whether it is worth an alarm."""
        return self.p_value <= ALPHA and self.change >= FLOORS[self.metric]

    @property
    def recovered(self) -> bool:
        """Whether an alarm may end: less than half of the least change is left."""
        return self.change < 0.5 * FLOORS[self.metric]


def judge(metric: str, earlier: Sequence[Block], current: Block) -> Judgement | None:
    """``current`` by ``metric`` against ``earlier``; None where either is too little to judge by."""
    return _errors(earlier, current) if metric == "errors" else _MEANS[metric](metric, earlier, current)


def _errors(earlier: Sequence[Block], current: Block) -> Judgement | None:
    samples = [block.errors for block in earlier if block.errors.count]
    now = current.errors
    known = sum(sample.count for sample in samples)
    if not _enough(len(samples), known, now.count):
        return None
    a, b = beta_binomial.beta_of(samples)
    p_value = _by_student(beta_binomial.upper_tail(samples, now.count, now.hits), len(samples))
    rate = a / (a + b)
    return Judgement("errors", rate, now.rate, now.rate - rate, p_value, now.count, known)


def _by_student(p_value: float, samples: int) -> float:
    """The tail probability where the spread is itself an estimate from few ``samples``: t in place of a normal."""
    if p_value >= 0.5:
        return p_value
    return t_tail(-NORMAL.inv_cdf(p_value), samples - 1.0) if p_value > 0.0 else 0.0


def _latency(metric: str, earlier: Sequence[Block], current: Block) -> Judgement | None:
    return _by_ratio(metric, [block.log_latency for block in earlier], current.log_latency, _same)


def _cost(metric: str, earlier: Sequence[Block], current: Block) -> Judgement | None:
    return _by_ratio(metric, [block.cost for block in earlier], current.cost, _log_of_mean)


def _quality(metric: str, earlier: Sequence[Block], current: Block) -> Judgement | None:
    found = _predicted([block.quality for block in earlier], current.quality, _downwards)
    if found is None:
        return None
    center, now, p_value, known = found
    return Judgement(metric, -center, -now, now - center, p_value, current.quality.count, known)


def _by_ratio(
    metric: str, earlier: Sequence[Moments], current: Moments, scale: Callable[[Moments, float], tuple[float, float]]
) -> Judgement | None:
    found = _predicted(earlier, current, scale)
    if found is None:
        return None
    center, now, p_value, known = found
    change = math.exp(now - center) - 1.0
    return Judgement(metric, math.exp(center), math.exp(now), change, p_value, current.count, known)


def _predicted(
    earlier: Sequence[Moments], current: Moments, scale: Callable[[Moments, float], tuple[float, float]]
) -> tuple[float, float, float, int] | None:
    """The predicted mean, the current one, its upper tail probability, and how many executions it was judged by."""
    samples = [sample for sample in earlier if sample.count >= _LEAST_IN_BLOCK]
    known = sum(sample.count for sample in samples)
    if not _enough(len(samples), known, current.count):
        return None
    within = _pooled(samples)
    scaled = [scale(sample, within) for sample in samples]
    # A stretch that scatters more than it used to is less sure of its own mean.
    now, variance = scale(current, max(within, current.variance))
    if not all(math.isfinite(mean) for mean, _ in (*scaled, (now, variance))):
        return None
    prediction = random_effects.predict([mean for mean, _ in scaled], [spread for _, spread in scaled])
    return prediction.center, now, prediction.tail(now, variance), known


def _enough(blocks: int, known: int, executions: int) -> bool:
    return blocks >= LEAST_BLOCKS and known >= LEAST_BASELINE_EXECUTIONS and executions >= LEAST_EXECUTIONS


def _pooled(samples: Sequence[Moments]) -> float:
    """The variance within samples. Never 0: constant values still have the precision of a number."""
    squares = math.fsum(sample.variance * (sample.count - 1) for sample in samples)
    count = sum(sample.count for sample in samples)
    scale = math.fsum(sample.total for sample in samples) / count
    return max(squares / (count - len(samples)), 1e-12 * scale * scale, 1e-30)


def _same(sample: Moments, within: float) -> tuple[float, float]:
    return sample.mean, within / sample.count


def _downwards(sample: Moments, within: float) -> tuple[float, float]:
    return -sample.mean, within / sample.count


def _log_of_mean(sample: Moments, within: float) -> tuple[float, float]:
    """The logarithm of a mean, whose variance is the mean's over its square (delta method): costs are skewed."""
    if sample.mean <= 0.0:
        return -math.inf, within
    return math.log(sample.mean), within / (sample.count * sample.mean * sample.mean)


_MEANS: dict[str, Callable[[str, Sequence[Block], Block], Judgement | None]] = {
    "latency": _latency,
    "quality": _quality,
    "cost": _cost,
}
