"""The random-effects prediction: a published meta-analysis, and what its tail probabilities are worth."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from tasks.metrics.statistics.random_effects import predict

# The BCG vaccine trials as metafor prints them (Viechtbauer, J. Stat. Soft. 36, 2010; `dat.bcg`, log risk ratios):
# rma(yi, vi, method="DL") gives an estimate of -0.7141 with tau^2 0.3088 and a standard error of 0.1787.
BCG = [
    (-0.8893, 0.3256), (-1.5854, 0.1946), (-1.3481, 0.4154), (-1.4416, 0.0200), (-0.2175, 0.0512),
    (-0.7861, 0.0069), (-1.6209, 0.2230), (0.0120, 0.0040), (-0.4694, 0.0564), (-1.3713, 0.0730),
    (-0.3394, 0.0124), (0.4459, 0.5325), (-0.0173, 0.0714),
]  # fmt: skip


def test_a_published_meta_analysis() -> None:
    found = predict([mean for mean, _ in BCG], [variance for _, variance in BCG])
    assert found.center == pytest.approx(-0.7141, abs=5e-4)
    assert found.variance == pytest.approx(0.3088 + 0.1787**2, abs=1e-3)
    assert found.df == len(BCG) - 2


def test_samples_that_differ_by_chance_alone() -> None:
    found = predict([1.0, 1.0, 1.0, 1.0], [0.04, 0.04, 0.04, 0.04])
    assert found.center == pytest.approx(1.0)
    assert found.variance == pytest.approx(0.01)
    assert found.tail(1.0, 0.04) == pytest.approx(0.5)


def test_too_few_samples() -> None:
    with pytest.raises(ValueError, match="3 samples"):
        predict([1.0, 2.0], [1.0, 1.0])


def test_tail_probabilities_are_uniform_where_nothing_changed() -> None:
    source = random.Random(5)
    tails = []
    for _ in range(2_000):
        sizes = [source.randint(20, 200) for _ in range(61)]
        means = [source.gauss(source.gauss(7.0, 0.1), 0.5 / math.sqrt(size)) for size in sizes]
        variances = [0.25 / size for size in sizes]
        tails.append(predict(means[:60], variances[:60]).tail(means[60], variances[60]))
    assert stats.kstest(tails, "uniform").pvalue > 1e-3
