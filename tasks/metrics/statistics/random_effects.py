"""What the next sample's mean should be, judged by earlier samples that differ by more than chance alone.

The earlier samples (hours, days) are a random-effects meta-analysis: each has its own mean around a common one, so
that the daily rhythm and the drift of a model count as ordinary, and only what lies outside of both is news.

R. DerSimonian and N. Laird, "Meta-analysis in clinical trials", Controlled Clinical Trials 7 (1986), 177-188, for the
variance between samples; J. Higgins, S. Thompson and D. Spiegelhalter, "A re-evaluation of random-effects
meta-analysis", J. R. Statist. Soc. A 172 (2009), for the prediction by Student's t.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.metrics.statistics.student import t_tail

LEAST_SAMPLES = 3


@dataclass(frozen=True)
class Prediction:
    """Where the next mean should lie: ``center`` with ``variance``, besides that of the next sample itself."""

    center: float
    variance: float
    df: float

    def tail(self, value: float, variance: float) -> float:
        """The probability of a mean of ``value`` or more, whose own squared standard error is ``variance``."""
        spread = math.sqrt(self.variance + variance)
        if spread <= 0.0:
            return 0.5 if value <= self.center else 0.0
        return t_tail((value - self.center) / spread, self.df)


def predict(means: Sequence[float], variances: Sequence[float]) -> Prediction:
    """The prediction from samples with these means and (positive) squared standard errors.

    Raises:
        ValueError: fewer than three samples.
    """
    count = len(means)
    if count < LEAST_SAMPLES:
        raise ValueError(f"a prediction needs {LEAST_SAMPLES} samples, not {count}")
    between = _between(means, variances)
    weights = [1.0 / (between + variance) for variance in variances]
    total = math.fsum(weights)
    center = math.fsum(weight * mean for weight, mean in zip(weights, means, strict=True)) / total
    return Prediction(center, between + 1.0 / total, float(count - 2))


def _between(means: Sequence[float], variances: Sequence[float]) -> float:
    weights = [1.0 / variance for variance in variances]
    total = math.fsum(weights)
    center = math.fsum(weight * mean for weight, mean in zip(weights, means, strict=True)) / total
    spread = math.fsum(weight * (mean - center) ** 2 for weight, mean in zip(weights, means, strict=True))
    scale = total - math.fsum(weight * weight for weight in weights) / total
    return max(0.0, (spread - (len(means) - 1)) / scale) if scale > 0.0 else 0.0
