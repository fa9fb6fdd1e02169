"""Brings the buckets of a point into histograms of ours, and says what the point adds to the rollups.

A bucket says how many values are in it, not where: that is told from the buckets beside (``shape``). In a bucket that
begins at 0 they lie evenly, and what is above the highest bound is put at that bound, as Prometheus's
``histogram_quantile`` has it. What else the point tells is used: its least and greatest value bound the outermost
buckets, and where all values are in one bucket, they lie about their mean. So a percentile is off by the width of the
bucket that it falls in, at most; of exponential buckets at scale 6 or finer that is about one percent. The lowest
bucket of what is inverted, seconds for a token, begins at half of its bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

from tasks.metrics.histogram import Histogram, index_of
from tasks.metrics.model import MAX_MS
from tasks.metrics.otlp.model import Buckets, Explicit, Exponential, Values
from tasks.metrics.otlp.shape import Rise, rises

# Into how many places the values of one bucket go at most: a twenty-fourth of what doubles is 3 %.
_MOST_PLACES = 24
# What a value in a histogram of ours may be; index_of takes any, these keep the indexes few.
_LEAST, _MOST = 1e-9, 1e15
_DIGITS = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class Span:
    """``count`` values between two bounds, the upper one included; ``rise`` says how they lie between the logarithms
    of the bounds, None: evenly between the bounds."""

    low: float
    high: float
    count: int
    rise: Rise | None = None


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
    counts: dict[int, int] = {}
    total, total_sq, unit = 0.0, 0.0, float(values.unit)
    for value, count in _placed(values):
        told = 1.0 / max(value * unit, _LEAST) if values.inverse else value * unit
        index = index_of(min(told, MAX_MS))
        counts[index] = counts.get(index, 0) + count
        total += told * count
        total_sq += told * told * count
    histogram = Histogram(counts)
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
    places = min(_MOST_PLACES, _width(low, high))
    if span.rise is None:
        places = min(places, count)
        for place in range(places):
            share = (place + 0.5) / places
            yield low + (high - low) * share, count * (place + 1) // places - count * place // places
        return
    below, rise = 0, span.rise
    step = (high / low) ** (1 / places)
    value = low * math.sqrt(step)
    for place in range(1, places):
        # Rounding must take none back.
        up_to = min(int(count * rise.at(place / places) + 0.5), count)
        if up_to > below:
            yield value, up_to - below
            below = up_to
        value *= step
    if count > below:
        yield min(value, high), count - below


def _width(low: float, high: float) -> int:
    """How many of our buckets a span touches."""
    return index_of(max(high, _LEAST)) - index_of(max(low, _LEAST)) + 1


def _placed(values: Values) -> Iterator[tuple[float, int]]:
    spans = [_bounded(span, values) for span in _spans(values.buckets)]
    filled = [span for span in spans if span.count]
    if len(filled) == 1 and values.total is not None:
        filled = [_about_the_mean(filled[0], float(values.total) / values.count)]
    elif len(filled) > 1:
        filled = _shaped(spans)
    for span in filled:
        high = span.low if math.isinf(span.high) else span.high
        low = high / 2 if values.inverse and span.low == 0 else span.low
        yield from spread(replace(span, low=low, high=high))


def _shaped(spans: Sequence[Span]) -> list[Span]:
    """The spans that hold values, each with its rise where both of its bounds have a logarithm."""
    first = next(place for place, span in enumerate(spans) if span.count)
    last = next(place for place in range(len(spans) - 1, -1, -1) if spans[place].count)
    told = spans[first : last + 1]
    inner = [span for span in told if _LEAST <= span.low < span.high < math.inf]
    found = iter(rises([math.log(span.high / span.low) for span in inner], [span.count for span in inner]))
    shaped = [replace(span, rise=next(found)) if _LEAST <= span.low < span.high < math.inf else span for span in told]
    return [span for span in shaped if span.count]


def _spans(buckets: Buckets) -> Iterator[Span]:
    if isinstance(buckets, Explicit):
        edges = (0.0, *(min(max(bound, 0.0), _MOST) for bound in buckets.bounds), math.inf)
        for (low, high), count in zip(pairwise(edges), buckets.counts, strict=True):
            yield Span(low, high, count)
        return
    yield Span(0.0, buckets.threshold, buckets.zeros)
    for place, count in enumerate(buckets.counts, buckets.offset):
        yield Span(_power(buckets, place), _power(buckets, place + 1), count)


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
    return Span(mean - reach, mean + reach, span.count)


def _rounded(value: float) -> Decimal:
    told = Decimal(repr(value))
    return told.quantize(_DIGITS) if told < _MOST else told
