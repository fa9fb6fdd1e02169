"""Windows: every minute is in exactly one part, parts are as coarse as they can be, buckets are whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import ValidationFailed
from tasks.metrics.questions.window import (
    DAY,
    GRAINS,
    HOUR,
    MINUTE,
    MOST_POINTS,
    WIDTHS,
    Part,
    Window,
    ceiling,
    floor,
    grain_of,
)

moments = st.timedeltas(timedelta(0), timedelta(days=2500)).map(lambda gone: datetime(2020, 1, 1, tzinfo=UTC) + gone)
windows = st.tuples(moments, moments).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: Window.between(*pair))


@given(windows)
def test_parts_cover_the_window_without_gap_or_overlap(window: Window) -> None:
    parts = window.parts()
    assert (parts[0].since, parts[-1].until) == (window.since, window.until)
    assert all(before.until == after.since for before, after in pairwise(parts))
    for part in parts:
        assert (
            floor(part.since, GRAINS[part.grain]) == part.since < part.until == floor(part.until, GRAINS[part.grain])
        )
    rollups = {
        grain: sum((p.until - p.since) // GRAINS[grain] for p in parts if p.grain == grain) for grain in GRAINS
    }
    assert rollups["hour"] < 48
    assert rollups["minute"] < 120


@given(windows)
def test_buckets_are_whole_and_about_fifty(window: Window) -> None:
    widened, width = window.buckets()
    assert widened.since <= window.since < window.until <= widened.until
    assert widened.length % width == timedelta(0)
    points = widened.length // width
    assert points <= 130
    if HOUR <= window.length <= 1500 * DAY:
        assert points >= 20
    assert all(GRAINS[part.grain] <= width for part in widened.parts(grain_of(width)))


def test_thirty_days_from_the_middle_of_an_hour() -> None:
    since = datetime(2026, 3, 1, 22, 58, 30, tzinfo=UTC)
    window = Window.between(since, since + 30 * DAY)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    assert window.parts() == [
        Part("minute", at + timedelta(hours=22, minutes=58), at + 23 * HOUR),
        Part("hour", at + 23 * HOUR, at + DAY),
        Part("day", at + DAY, at + 30 * DAY),
        Part("hour", at + 30 * DAY, at + 30 * DAY + 22 * HOUR),
        Part("minute", at + 30 * DAY + 22 * HOUR, at + 30 * DAY + timedelta(hours=22, minutes=59)),
    ]
    assert {part.grain for part in window.parts("hour")} == {"minute", "hour"}


def test_the_last_length_holds_the_current_minute_and_begins_with_an_hour_where_it_is_long() -> None:
    now = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)
    minute = datetime(2026, 3, 1, 12, 34, tzinfo=UTC)
    assert Window.last(15 * MINUTE, now) == Window(minute - 15 * MINUTE, minute + MINUTE)
    assert Window.last(DAY, now) == Window(datetime(2026, 2, 28, 12, tzinfo=UTC), minute + MINUTE)


def test_weeks_begin_on_monday_and_zones_do_not_matter() -> None:
    sunday = datetime(2026, 3, 1, 23, tzinfo=UTC)
    assert floor(sunday, timedelta(days=7)) == datetime(2026, 2, 23, tzinfo=UTC)
    tokyo = sunday.astimezone(timezone(timedelta(hours=9)))
    assert floor(tokyo, DAY) == datetime(2026, 3, 1, tzinfo=UTC)
    assert ceiling(tokyo, DAY) == datetime(2026, 3, 2, tzinfo=UTC)


def test_what_is_no_window(subtests: pytest.Subtests) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    year = timedelta(days=366)
    for since, until in ((at, at), (at + HOUR, at), (at, at + 11 * year), (datetime.min.replace(tzinfo=UTC), at)):
        with subtests.test(since=since, until=until), pytest.raises(ValidationFailed):
            Window.between(since, until)
    with pytest.raises(ValidationFailed, match="bucket"):
        Window.between(at, at + DAY).buckets(timedelta(seconds=61))
    with pytest.raises(ValidationFailed, match="bucket"):
        Window.between(at, at + (MOST_POINTS + 1) * MINUTE).buckets(MINUTE)
    assert Window.between(at, at + MOST_POINTS * MINUTE).buckets(MINUTE)[1] == MINUTE


def test_every_width_is_made_of_a_grain() -> None:
    assert [grain_of(width) for width in WIDTHS] == ["minute"] * 6 + ["hour"] * 5 + ["day"] * 4
