"""Cumulative streams: what their points add up to is what was counted, through repeats, gaps and new beginnings."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.metrics.otlp.deltas import Standing, advance, as_json, difference, from_json
from tasks.metrics.otlp.model import Explicit, Exponential, Point, Subject, Values

LIMITS = (1.0, 2.0, 4.0)
SUBJECT = Subject("m", "", "chat", "test", None, None, None)


def values(*counts: int, total: int | Decimal | None = None, **more: Any) -> Values:
    told = Decimal(sum(counts) if total is None else total)
    made = Values(sum(counts), told, Explicit(LIMITS, counts), None, None, Decimal(1), False)
    return replace(made, **more)


def exponential(scale: int, offset: int, *counts: int, zeros: int = 0, threshold: float = 0.0) -> Values:
    buckets = Exponential(scale, zeros, threshold, offset, counts)
    return values(0, 0, 0, 0, count=sum(counts) + zeros, total=sum(counts) + zeros, buckets=buckets)


def point(time: int, told: Values, start: int = 10) -> Point:
    return Point(b"s", b"k", "metric", "latency_ms", True, start, time, SUBJECT, told)


def test_a_stream_is_told_from_its_start_on() -> None:
    standing, first = advance(None, point(20, values(1, 2, 0, 0)))
    assert (first.since_ns, first.values) == (10, values(1, 2, 0, 0))
    standing, second = advance(standing, point(30, values(1, 3, 0, 2)))
    assert (second.since_ns, second.values) == (20, values(0, 1, 0, 2))
    again, third = advance(standing, point(40, values(1, 3, 0, 2)))
    assert (again.time_ns, third.values) == (40, None)


@pytest.mark.parametrize("time", [30, 25])
def test_what_comes_again_or_too_late_adds_nothing(time: int) -> None:
    standing = Standing(30, values(1, 3, 0, 2))
    assert advance(standing, point(time, values(1, 3, 0, 2)))[0] == standing
    assert advance(standing, point(time, values(9, 9, 9, 9)))[1].values is None


def test_a_start_that_is_not_known_only_says_where_it_stands() -> None:
    for start in (0, 20):
        standing, step = advance(None, point(20, values(5, 5, 5, 5), start))
        assert step.values is None
        assert advance(standing, point(30, values(5, 6, 5, 5), start))[1].values == values(0, 1, 0, 0)


def test_counting_less_is_a_new_beginning() -> None:
    before = values(4, 4, 0, 0)
    for after in (values(1, 0, 0, 0), values(3, 9, 0, 0), values(4, 5, 0, 0, total=3)):
        assert difference(before, after) == after


def test_bounds_that_changed_leave_count_and_sum() -> None:
    after = values(0, 0, 0, 0, count=9, total=Decimal(20), buckets=Explicit((5.0,), (9, 0)))
    found = difference(values(4, 4, 0, 0), after)
    assert (found.count, found.total, found.buckets) == (1, Decimal(12), Explicit((), (1,)))


def test_exponential_buckets_are_told_apart_at_the_coarser_scale() -> None:
    # Indexes 4 to 7 at scale 2 are 2 and 3 at scale 1.
    found = difference(exponential(2, 4, 1, 1, 0, 2), exponential(1, 1, 1, 2, 5))
    assert found.buckets == Exponential(1, 0, 0.0, 1, (1, 0, 3))
    assert found.count == 4
    nothing = difference(exponential(2, 4, 1, 1), exponential(2, 4, 1, 1))
    assert (nothing.count, nothing.buckets) == (0, Exponential(2, 0, 0.0, 0, ()))
    fewer = exponential(2, 4, 3, 0)
    assert difference(exponential(2, 4, 1, 1), fewer) == fewer


def test_a_threshold_that_rose_takes_values_into_the_zeros() -> None:
    found = difference(exponential(0, 0, 2, 3), exponential(0, 1, 4, zeros=3, threshold=2.0))
    assert (found.count, found.buckets) == (2, Exponential(0, 1, 2.0, 1, (1,)))


@pytest.mark.parametrize("told", [values(1, 2, 0, 4, least=0.1, most=9.0), exponential(3, -4, 1, 0, 2, zeros=1)])
def test_what_is_kept_of_a_stream_is_all_that_it_needs(told: Values) -> None:
    assert from_json(orjson.loads(orjson.dumps(as_json(told)))) == told
    assert from_json(as_json(replace(told, total=None))).total is None


counts = st.lists(st.tuples(*[st.integers(0, 5)] * 4), min_size=1, max_size=8)


@given(counts, st.data())
def test_steps_add_up_to_what_was_counted_however_often_points_come(steps: list[tuple[int, ...]], data: Any) -> None:
    reached = [tuple(sum(column) for column in zip(*steps[: n + 1], strict=True)) for n in range(len(steps))]
    points = [point(20 + n, values(*told)) for n, told in enumerate(reached)]
    sent = []
    for n, one in enumerate(points):
        # Some come again later, and some never.
        sent += [one] if n == len(points) - 1 or data.draw(st.booleans()) else []
        sent += [data.draw(st.sampled_from(points[: n + 1]))] if data.draw(st.booleans()) else []
    standing, added = None, [0, 0, 0, 0]
    for one in sent:
        standing, step = advance(standing, one)
        if step.values is not None:
            assert isinstance(step.values.buckets, Explicit)
            added = [a + b for a, b in zip(added, step.values.buckets.counts, strict=True)]
    assert tuple(added) == reached[-1]
