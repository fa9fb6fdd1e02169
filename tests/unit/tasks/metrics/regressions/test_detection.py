"""Judging one stretch of time: what is worse, what is too small or too little, each metric by itself."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tasks.metrics.regressions.detection import LEAST_BLOCKS, LEAST_EXECUTIONS, METRICS, Block, judge
from tasks.metrics.statistics.moments import Moments
from tasks.metrics.statistics.proportions import Proportion


def spread(mean: float, share: float, count: int) -> Moments:
    return Moments.of([mean - share, mean + share] * (count // 2))


def block(count: int = 60, *, ms: float = 1000, failed: int = 1, quality: float = 0.8, usd: float = 0.01) -> Block:
    return Block(
        Proportion(count - failed, count),
        spread(math.log(ms), 0.4, count),
        spread(quality, 0.1, count),
        spread(usd, usd / 2, count),
    )


EARLIER = [block(ms=1000 + 40 * (n % 5), failed=n % 3, quality=0.8 + 0.005 * (n % 3)) for n in range(48)]


def test_what_is_as_it_was_is_no_regression() -> None:
    for metric in METRICS:
        judged = judge(metric, EARLIER, block(ms=1080))
        assert judged is not None
        assert not judged.regressed
        assert judged.recovered


@pytest.mark.parametrize(
    ("metric", "current", "baseline", "now", "change"),
    [
        ("latency", block(ms=2000), 1080, 2000, 0.85),
        ("errors", block(failed=20), 1 / 60, 1 / 3, 0.316),
        ("quality", block(quality=0.5), 0.805, 0.5, 0.305),
        ("cost", block(usd=0.02), 0.01, 0.02, 1.0),
    ],
)
def test_each_metric_is_judged_by_itself(
    metric: str, current: Block, baseline: float, now: float, change: float
) -> None:
    found = {name: judge(name, EARLIER, current) for name in METRICS}
    assert [name for name, judged in found.items() if judged is not None and judged.regressed] == [metric]
    judged = found[metric]
    assert judged is not None
    assert (judged.baseline, judged.current) == (pytest.approx(baseline, rel=0.03), pytest.approx(now, rel=0.01))
    assert judged.change == pytest.approx(change, rel=0.05)
    assert not judged.recovered


def test_better_is_never_a_regression() -> None:
    better = block(ms=200, failed=0, quality=0.99, usd=0.001)
    for metric in METRICS:
        judged = judge(metric, EARLIER, better)
        assert judged is not None
        assert judged.change <= 0
        assert not judged.regressed


def test_a_sure_change_that_is_small_is_no_alarm() -> None:
    sure = [block(20_000, ms=1000) for _ in range(48)]
    judged = judge("latency", sure, block(20_000, ms=1150))
    assert judged is not None
    assert judged.p_value < 1e-9
    assert not judged.regressed


def test_too_little_to_judge_by() -> None:
    few = block(LEAST_EXECUTIONS - 2)
    for metric in METRICS:
        assert judge(metric, EARLIER, few) is None
        assert judge(metric, EARLIER[: LEAST_BLOCKS - 1], block()) is None
        assert judge(metric, [block(4)] * 48, block()) is None
    assert judge("quality", EARLIER, replace(block(), quality=Moments())) is None
    assert judge("cost", [block(usd=0)] * 48, block(usd=0.1)) is None


def test_one_outlier_is_no_regression() -> None:
    usual = [block(60) for _ in range(48)]
    slow = Moments.of([math.log(1000)] * 59 + [math.log(600_000)])
    judged = judge("latency", usual, replace(block(), log_latency=slow))
    assert judged is not None
    assert not judged.regressed
