"""How many hits the next trials should have, where the rate itself moves between samples: the beta-binomial.

A binomial would call every busy hour with a slightly different rate an event. The spread of the rate is estimated
from earlier samples by moments (J. Kleinman, "Proportions with extraneous variance", JASA 68, 1973).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tasks.metrics.statistics.proportions import Proportion
from tasks.metrics.statistics.student import normal_tail

# Up to this many trials the tail is summed; beyond, a normal of the same mean and variance is as good.
_SUMMED_UP_TO = 50_000


def upper_tail(samples: Sequence[Proportion], trials: int, hits: int) -> float:
    """The probability of ``hits`` or more of ``trials``, by earlier ``samples`` that hold at least one trial."""
    a, b = beta_of(samples)
    if hits <= 0:
        return 1.0
    if trials > _SUMMED_UP_TO:
        rate, weight = a / (a + b), a + b
        variance = trials * rate * (1.0 - rate) * (weight + trials) / (weight + 1.0)
        return normal_tail((hits - 0.5 - trials * rate) / math.sqrt(variance))
    return _summed(a, b, trials, hits)


def beta_of(samples: Sequence[Proportion]) -> tuple[float, float]:
    """The beta distribution of the rate of the next sample: how it moved so far, and how well it is known."""
    hits = sum(sample.hits for sample in samples)
    total = sum(sample.count for sample in samples)
    # Jeffreys' prior: no hit so far does not make one impossible.
    rate = (hits + 0.5) / (total + 1.0)
    weight = 1.0 / (1.0 / (total + 1.0) + _spread(samples, rate))
    return rate * weight, (1.0 - rate) * weight


def _spread(samples: Sequence[Proportion], rate: float) -> float:
    """1 / (a + b) of the rate's own distribution: 0 where the samples differ by chance alone."""
    total = sum(sample.count for sample in samples)
    scale = total - sum(sample.count**2 for sample in samples) / total
    if scale <= 0.0 or len(samples) < 2:
        return 0.0
    squares = math.fsum(sample.count * (sample.rate - rate) ** 2 for sample in samples) / (rate * (1.0 - rate))
    # squares is about (k - 1) + correlation * (scale - (k - 1)).
    excess, least = squares - (len(samples) - 1), scale - (len(samples) - 1)
    correlation = min(max(0.0, excess / least), 0.999) if least > 0.0 else 0.0
    return correlation / (1.0 - correlation)


def _summed(a: float, b: float, trials: int, hits: int) -> float:
    """The sum over the shorter side of ``hits``, term by term from one that is computed by gamma functions."""
    mean = trials * a / (a + b)
    upwards = hits > mean
    count = hits if upwards else hits - 1
    term = math.exp(_log_term(a, b, trials, count))
    total = 0.0
    while term > 0.0:
        total += term
        if upwards:
            if count >= trials:
                break
            term *= (trials - count) * (a + count) / ((count + 1.0) * (b + trials - count - 1.0))
            count += 1
        else:
            if count <= 0:
                break
            term *= count * (b + trials - count) / ((trials - count + 1.0) * (a + count - 1.0))
            count -= 1
        if term < 1e-17 * total:
            break
    return min(1.0, total) if upwards else max(0.0, 1.0 - total)


def _log_term(a: float, b: float, trials: int, hits: int) -> float:
    lgamma = math.lgamma
    return (
        (lgamma(trials + 1.0) - lgamma(hits + 1.0) - lgamma(trials - hits + 1.0))
        + (lgamma(hits + a) + lgamma(trials - hits + b) - lgamma(trials + a + b))
        - (lgamma(a) + lgamma(b) - lgamma(a + b))
    )
