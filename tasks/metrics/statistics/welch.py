"""Welch's t test: the difference of two means without assuming that the variances are the same.

B. L. Welch, "The generalization of 'Student's' problem when several different population variances are involved",
Biometrika 34 (1947); degrees of freedom by Satterthwaite, Biometrics Bulletin 2 (1946).
"""

from __future__ import annotations

import math

from tasks.metrics.statistics.estimate import Estimate
from tasks.metrics.statistics.moments import Moments
from tasks.metrics.statistics.student import t_quantile, t_tail


def welch(first: Moments, second: Moments, confidence: float = 0.95) -> Estimate:
    """mean(first) - mean(second). Both need at least two values.

    Where neither sample varies the interval is the point itself, and the p-value 0 or 1.
    """
    difference = first.mean - second.mean
    squares = (first.squared_error, second.squared_error)
    variance = sum(squares)
    if variance <= 0.0:
        return Estimate(difference, difference, difference, 1.0 if difference == 0.0 else 0.0)
    error = math.sqrt(variance)
    # Divided through by the variance before squaring, so that tiny costs don't underflow.
    shares = [square / variance for square in squares]
    df = 1.0 / sum(share * share / (sample.count - 1) for share, sample in zip(shares, (first, second), strict=True))
    margin = t_quantile(0.5 + 0.5 * confidence, df) * error
    p_value = 2.0 * t_tail(abs(difference) / error, df)
    return Estimate(difference, difference - margin, difference + margin, p_value)
