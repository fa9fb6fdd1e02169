"""Brings the buckets of a point into histograms of ours, and says what the point adds to the rollups.

A bucket says how many values are in it, not where. They are put at equal shares of it: of an explicit bucket as
Prometheus does (``histogram_quantile``: evenly, the lowest bucket beginning at 0, what is above the highest bound at
that bound), of an exponential one evenly in the logarithm. What else the point tells is used: its least and greatest
value bound the outermost buckets, and where all values are in one bucket, they lie about their mean. So a percentile
is off by the width of the bucket that it falls in, at most; of exponential buckets at scale 6 or finer that is about
one percent. The lowest bucket of what is inverted, seconds for a token, begins at half of its bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

from tasks.metrics.histogram import Histogram, index_of
from tasks.metrics.otlp.model import Buckets, Explicit, Exponential, Values

# Into how many places the values of one bucket go at most.
_MOST_PLACES = 64
# What a value in a histogram of ours may be; index_of takes any, these keep the indexes few.
_LEAST, _MOST = 1e-9, 1e15
_DIGITS = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class Span:
    """``count`` values between two bounds, the upper one included and maybe infinite."""

    low: float
    high: float
    count: int
    logarithmic: bool


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a point adds to the rollups: how many values, their sum, the sum of their squares, and where they are.

    ``total`` is exact but where the sender told none, and of inverted values: then it is that of ``histogram``.
    ``total_sq`` is estimated by it, and scaled so that it fits ``total``.
    """

    count: int
    total: Decimal
    total_sq: Decimal
    histogram: Histogram


def contribution_of(values: Values) -> Contribution:
    """What ``values`` add. The same values always add the same."""
    histogram, total, total_sq = Histogram(), 0.0, 0.0
    for value, count in _placed(values):
        told = _in_our_unit(value, values)
        histogram.record(told, count)
        total += told * count
        total_sq += told * told * count
    if values.total is None or values.inverse:
        return Contribution(values.count, _rounded(total), _rounded(total_sq), histogram)
    exact = values.total * values.unit
    if values.count == 1:
        return Contribution(1, exact, exact * exact, histogram)
    scale = float(exact) / total if total else 0.0
    return Contribution(values.count, exact, _rounded(total_sq * scale * scale), histogram)


def spread(span: Span) -> Iterator[tuple[float, int]]:
    """Values that stand for those of ``span``, ascending, and counts that add up to its own."""
    low, high, count = span.low, span.high, span.count
    places = min(count, _MOST_PLACES, _width(low, high))
    for place in range(places):
        share = (place + 0.5) / places
        value = low ** (1 - share) * high**share if span.logarithmic else low + (high - low) * share
        yield min(max(value, low), high), count * (place + 1) // places - count * place // places


def _width(low: float, high: float) -> int:
    """How many of our buckets a span touches."""
    return index_of(max(high, _LEAST)) - index_of(max(low, _LEAST)) + 1


def _placed(values: Values) -> Iterator[tuple[float, int]]:
    spans = [_bounded(span, values) for span in _spans(values.buckets) if span.count]
    if len(spans) == 1 and values.total is not None:
        spans = [_about_the_mean(spans[0], float(values.total) / values.count)]
    for span in spans:
        high = span.low if math.isinf(span.high) else span.high
        low = high / 2 if values.inverse and span.low == 0 else span.low
        yield from spread(replace(span, low=min(low, _MOST), high=min(high, _MOST)))


def _spans(buckets: Buckets) -> Iterator[Span]:
    if isinstance(buckets, Explicit):
        edges = (0.0, *(max(bound, 0.0) for bound in buckets.bounds), math.inf)
        for (low, high), count in zip(pairwise(edges), buckets.counts, strict=True):
            yield Span(low, high, count, False)
        return
    yield Span(0.0, buckets.threshold, buckets.zeros, False)
    for place, count in enumerate(buckets.counts, buckets.offset):
        yield Span(_power(buckets, place), _power(buckets, place + 1), count, True)


def _power(buckets: Exponential, index: int) -> float:
    """The bound of a bucket, within what a histogram of ours can hold."""
    exponent = math.ldexp(index, -buckets.scale)
    return math.exp2(min(max(exponent, math.log2(_LEAST)), math.log2(_MOST)))


def _bounded(span: Span, values: Values) -> Span:
    """The span, no wider than between the least and the greatest of all values, where the sender tells them."""
    low, high = span.low, span.high
    if values.least is not None and low < values.least <= high:
        low = values.least
    if values.most is not None and low <= values.most < high:
        high = values.most
    return replace(span, low=low, high=high)


def _about_the_mean(span: Span, mean: float) -> Span:
    """The span, made narrower on one side, so that its middle is ``mean``."""
    if not span.low <= mean <= span.high:
        return span
    reach = min(mean - span.low, span.high - mean)
    return Span(mean - reach, mean + reach, span.count, False)


def _in_our_unit(value: float, values: Values) -> float:
    told = value * float(values.unit)
    if not values.inverse:
        return told
    return 1.0 / max(told, _LEAST)


def _rounded(value: float) -> Decimal:
    told = Decimal(repr(value))
    return told.quantize(_DIGITS) if told < _MOST else told
