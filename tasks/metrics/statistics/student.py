"""Student's t distribution: tail probabilities and quantiles, by the regularized incomplete beta function.

The continued fraction is DLMF 8.17.22 (https://dlmf.nist.gov/8.17.E22), evaluated by the modified Lentz method
(Thompson and Barnett, J. Comput. Phys. 64, 1986).
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

NORMAL = NormalDist()
# Past this many degrees of freedom t and normal differ by less than 1e-6 of a tail that anybody looks at.
_NORMAL_FROM = 1_000_000.0
_TINY = 1e-300
_PRECISION = 1e-15
_LONGEST = 10_000


def normal_tail(z: float) -> float:
    """P(Z > z) of a standard normal Z, exact in the far tail too."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def t_tail(t: float, df: float) -> float:
    """P(T > t) of Student's t with ``df`` > 0 degrees of freedom, which need not be a whole number."""
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    if df >= _NORMAL_FROM:
        return normal_tail(t)
    half = 0.5 * incomplete_beta(df / (df + t * t), 0.5 * df, 0.5)
    return half if t >= 0 else 1.0 - half


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: float) -> float:
    """The t with P(T <= t) = ``probability``, which lies strictly between 0 and 1."""
    if not 0.0 < probability < 1.0:
        raise ValueError(f"a probability lies between 0 and 1, not {probability}")
    if probability < 0.5:
        return -t_quantile(1.0 - probability, df)
    if df >= _NORMAL_FROM or probability == 0.5:
        return NORMAL.inv_cdf(probability)
    # Right of 0 the tail is convex, and the normal quantile lies left of t's: Newton's steps climb to it from there.
    t = NORMAL.inv_cdf(probability)
    for _ in range(_LONGEST):
        step = (t_tail(t, df) - (1.0 - probability)) / _density(t, df)
        t += step
        if step <= 1e-13 * t:
            break
    return t


def _density(t: float, df: float) -> float:
    log_scale = math.lgamma(0.5 * (df + 1.0)) - math.lgamma(0.5 * df) - 0.5 * math.log(df * math.pi)
    return math.exp(log_scale - 0.5 * (df + 1.0) * math.log1p(t * t / df))


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function I_x(a, b), for 0 <= x <= 1 and positive a and b."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    # The fraction converges fast on one side of the mean; the other side is its complement.
    if x < (a + 1.0) / (a + b + 2.0):
        return math.exp(log_front) * _fraction(x, a, b) / a
    return 1.0 - math.exp(log_front) * _fraction(1.0 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, _away(1.0 - (a + b) * x / (a + 1.0))
    d = 1.0 / d
    value = d
    for m in range(1, _LONGEST):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d = 1.0 / _away(1.0 + even * d)
        c = _away(1.0 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d = 1.0 / _away(1.0 + odd * d)
        c = _away(1.0 + odd / c)
        step = d * c
        value *= step
        if abs(step - 1.0) < _PRECISION:
            break
    return value


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
