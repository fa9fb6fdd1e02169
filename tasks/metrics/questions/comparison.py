"""Compares models two by two: latency, success rate, quality and cost, each with an interval and a p-value.

- latency: Welch's t test on the logarithm, for latencies are skewed and their ratios what matters: the difference is
  that of the geometric means, as a share of the second's (-0.1: the first takes 10 % less time).
- success rate: Miettinen and Nurminen's score test and interval of the difference of two proportions.
- quality, cost: Welch's t test on the values. Of cost the arithmetic mean is what is paid, so no logarithm there.

p-values of one answer are adjusted by Holm's method. All tests take executions as independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from tasks.metrics.questions.evidence import Evidence
from tasks.metrics.statistics.correction import holm
from tasks.metrics.statistics.estimate import Estimate
from tasks.metrics.statistics.moments import Moments
from tasks.metrics.statistics.proportions import Proportion, miettinen_nurminen
from tasks.metrics.statistics.welch import welch

LEAST_EXECUTIONS = 30
SIGNIFICANCE = 0.05
VERDICTS = ("first_better", "second_better", "no_difference_shown", "not_enough_data")


@dataclass(frozen=True)
class Comparison:
    """``first`` against ``second`` by one metric. Without enough data only the values and counts are given."""

    metric: str
    test: str
    unit: str
    first: str
    second: str
    first_value: float | None
    second_value: float | None
    first_count: int
    second_count: int
    verdict: str = "not_enough_data"
    difference: float | None = None
    interval_low: float | None = None
    interval_high: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None


@dataclass(frozen=True)
class _Measure:
    """How one metric is taken from the evidence and tested; ``better`` is the sign of a good difference."""

    metric: str
    test: str
    unit: str
    better: int
    sample: Callable[[Evidence], Moments | Proportion]
    value: Callable[[Evidence], float | None]
    compared: Callable[[Evidence, Evidence], Estimate]


def compare(models: Sequence[Evidence], least: int = LEAST_EXECUTIONS) -> list[Comparison]:
    """Every pair of ``models`` by every metric, pairs in the given order.

    A pair of which either has fewer than ``least`` values of a metric is ``not_enough_data``. A verdict names a
    better model where the adjusted p-value is at most 0.05.
    """
    pairs = combinations(models, 2)
    found = [(_compared(measure, first, second, least), measure) for first, second in pairs for measure in MEASURES]
    adjusted = iter(holm([made.p_value for made, _ in found if made.p_value is not None]))
    return [made if made.p_value is None else _judged(made, measure, next(adjusted)) for made, measure in found]


def _compared(measure: _Measure, first: Evidence, second: Evidence, least: int) -> Comparison:
    made = Comparison(
        metric=measure.metric,
        test=measure.test,
        unit=measure.unit,
        first=first.model,
        second=second.model,
        first_value=measure.value(first),
        second_value=measure.value(second),
        first_count=measure.sample(first).count,
        second_count=measure.sample(second).count,
    )
    if min(made.first_count, made.second_count) < max(2, least):
        return made
    estimate = measure.compared(first, second)
    return replace(
        made,
        difference=estimate.difference,
        interval_low=estimate.low,
        interval_high=estimate.high,
        p_value=estimate.p_value,
    )


def _judged(made: Comparison, measure: _Measure, adjusted: float) -> Comparison:
    verdict = "no_difference_shown"
    if adjusted <= SIGNIFICANCE and made.difference:
        verdict = "first_better" if made.difference * measure.better > 0 else "second_better"
    return replace(made, adjusted_p_value=adjusted, verdict=verdict)


def _latency(first: Evidence, second: Evidence) -> Estimate:
    logs = welch(first.log_latency, second.log_latency)
    return Estimate(math.expm1(logs.difference), math.expm1(logs.low), math.expm1(logs.high), logs.p_value)


MEASURES = (
    _Measure(
        "latency",
        "Welch's t test on log latency",
        "ratio",
        -1,
        lambda evidence: evidence.log_latency,
        lambda evidence: evidence.typical_ms,
        _latency,
    ),
    _Measure(
        "success_rate",
        "Miettinen-Nurminen score test",
        "difference",
        1,
        lambda evidence: evidence.outcomes,
        lambda evidence: evidence.outcomes.rate if evidence.outcomes.count else None,
        lambda first, second: miettinen_nurminen(first.outcomes, second.outcomes),
    ),
    _Measure(
        "quality",
        "Welch's t test",
        "difference",
        1,
        lambda evidence: evidence.quality,
        lambda evidence: evidence.mean_quality,
        lambda first, second: welch(first.quality, second.quality),
    ),
    _Measure(
        "cost",
        "Welch's t test",
        "usd",
        -1,
        lambda evidence: evidence.cost,
        lambda evidence: evidence.cost.mean if evidence.cost.count else None,
        lambda first, second: welch(first.cost, second.cost),
    ),
)
