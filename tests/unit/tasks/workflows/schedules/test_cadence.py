"""Ticks: cron in time zones against a clock that is read minute by minute, daylight saving by tables, intervals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.workflows.schedules.cadence import Cron, Interval, Within, cron_mistake, newest, upcoming, zone_of

MINUTE = timedelta(minutes=1)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def local_ticks(expression: str, zone: str, after: str, count: int) -> list[str]:
    found = upcoming(Cron(expression, ZoneInfo(zone)), moment(after), count)
    return [tick.astimezone(ZoneInfo(zone)).isoformat() for tick in found]


# Zone, expression, after, ticks on the wall there.
SKIPPED = [
    ("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00+01:00", ["03-29T03:00:00+02:00", "03-30T02:30:00+02:00"]),
    ("America/New_York", "30 2 * * *", "2026-03-07T12:00-05:00", ["03-08T03:00:00-04:00", "03-09T02:30:00-04:00"]),
    ("America/New_York", "0 3 * * *", "2026-03-07T12:00-05:00", ["03-08T03:00:00-04:00", "03-09T03:00:00-04:00"]),
    ("America/New_York", "0,30 2 * * *", "2026-03-08T01:00-05:00", ["03-08T03:00:00-04:00", "03-09T02:00:00-04:00"]),
    # Half an hour: 02:00 to 02:30.
    ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00+10:30",
     ["10-04T02:30:00+11:00", "10-05T02:15:00+11:00"]),
    # At midnight.
    ("Africa/Cairo", "15 0 * * *", "2026-04-23T12:00+02:00", ["04-24T01:00:00+03:00", "04-25T00:15:00+03:00"]),
    # Real time knows no gap.
    ("Europe/Berlin", "0 * * * *", "2026-03-29T00:30+01:00",
     ["03-29T01:00:00+01:00", "03-29T03:00:00+02:00", "03-29T04:00:00+02:00"]),
    ("Europe/Berlin", "*/20 * * * *", "2026-03-29T01:30+01:00",
     ["03-29T01:40:00+01:00", "03-29T03:00:00+02:00", "03-29T03:20:00+02:00"]),
]  # fmt: skip
REPEATED = [
    ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00+02:00", ["10-25T02:30:00+02:00", "10-26T02:30:00+01:00"]),
    # Asked in the second of the two hours, when it has run already.
    ("Europe/Berlin", "30 2 * * *", "2026-10-25T02:10+01:00", ["10-26T02:30:00+01:00", "10-27T02:30:00+01:00"]),
    ("Europe/Berlin", "30 2 * * *", "2026-10-25T02:40+01:00", ["10-26T02:30:00+01:00"]),
    ("America/New_York", "0,30 1 * * *", "2026-11-01T00:10-04:00",
     ["11-01T01:00:00-04:00", "11-01T01:30:00-04:00", "11-02T01:00:00-05:00"]),
    ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00+11:00",
     ["04-05T01:45:00+11:00", "04-06T01:45:00+10:30"]),
    ("Africa/Cairo", "30 23 * * *", "2026-10-29T12:00+03:00", ["10-29T23:30:00+03:00", "10-30T23:30:00+02:00"]),
    # Real time runs in both.
    ("Europe/Berlin", "0 * * * *", "2026-10-25T01:30+02:00",
     ["10-25T02:00:00+02:00", "10-25T02:00:00+01:00", "10-25T03:00:00+01:00"]),
    ("Europe/Berlin", "*/30 * * * *", "2026-10-25T02:10+02:00",
     ["10-25T02:30:00+02:00", "10-25T02:00:00+01:00", "10-25T02:30:00+01:00", "10-25T03:00:00+01:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "expression", "after", "expected"), SKIPPED + REPEATED)
def test_daylight_saving(zone: str, expression: str, after: str, expected: list[str]) -> None:
    year = after[:5]
    assert local_ticks(expression, zone, after, len(expected)) == [year + text for text in expected]


def read_minute_by_minute(expression: str, zone: ZoneInfo, begin: datetime, end: datetime) -> list[datetime]:
    """Debian's rules once more, read off the clock: what shows a fixed time for the first time counts, and of the
    times in a gap that its end comes in for; anything else counts whenever it is shown."""
    minutes, hours, *_ = expression.split()
    wanted_minutes = range(60) if minutes == "*" else [int(part) for part in minutes.split(",")]
    wanted_hours = range(24) if hours == "*" else [int(part) for part in hours.split(",")]
    fixed = minutes != "*" and hours != "*"
    found, shown = [], set()
    at, before = begin, None
    while at <= end:
        wall = at.astimezone(zone).replace(tzinfo=None, fold=0)
        times = [wall]
        if fixed and before is not None and wall > before + MINUTE:
            times = [before + MINUTE * step for step in range(1, (wall - before) // MINUTE + 1)]
        matches = any(time.minute in wanted_minutes and time.hour in wanted_hours for time in times)
        if matches and not (fixed and wall in shown):
            found.append(at)
        shown.add(wall)
        before, at = wall, at + MINUTE
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        [
            ("Europe/Berlin", "2026-03-28T20:07+00:00"),
            ("Europe/Berlin", "2026-10-24T20:07+00:00"),
            ("America/New_York", "2026-03-08T01:13+00:00"),
            ("America/New_York", "2026-11-01T01:13+00:00"),
            ("Australia/Lord_Howe", "2026-10-03T09:31+00:00"),
            ("Australia/Lord_Howe", "2026-04-04T09:31+00:00"),
            ("Africa/Cairo", "2026-04-23T15:00+00:00"),
            ("Africa/Cairo", "2026-10-29T15:00+00:00"),
            ("Asia/Kathmandu", "2026-06-01T00:00+00:00"),
        ]
    ),
    st.one_of(st.just("*"), st.lists(st.integers(0, 59), min_size=1, max_size=3, unique=True)),
    st.one_of(st.just("*"), st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True)),
)
def test_cron_is_what_the_clock_shows(
    place: tuple[str, str], minutes: str | list[int], hours: str | list[int]
) -> None:
    zone, start = ZoneInfo(place[0]), moment(place[1])
    fields = [",".join(map(str, part)) if isinstance(part, list) else part for part in (minutes, hours)]
    expression = f"{fields[0]} {fields[1]} * * *"
    expected = read_minute_by_minute(expression, zone, start, start + timedelta(hours=20))
    found = upcoming(Cron(expression, zone), start - MINUTE, len(expected) + 1)
    assert found[: len(expected)] == expected
    # It answers the same, wherever it is asked from.
    for before, after in pairwise(expected):
        assert Cron(expression, zone).after(before + (after - before) / 2) == after


NEXT = [
    ("@daily", "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"),
    ("@Hourly", "2026-01-01T00:59:59.999+00:00", "2026-01-01T01:00:00+00:00"),
    ("@weekly", "2026-01-01T00:00:00+00:00", "2026-01-04T00:00:00+00:00"),
    ("@monthly", "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"),
    ("@yearly", "2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
    ("15 10 * * mon-fri", "2026-01-02T11:00:00+00:00", "2026-01-05T10:15:00+00:00"),
    ("0 0 1 JAN,jul *", "2026-01-01T00:00:00+00:00", "2026-07-01T00:00:00+00:00"),
    ("0 12 * * 7", "2026-01-01T00:00:00+00:00", "2026-01-04T12:00:00+00:00"),
    ("0 0 29 2 *", "2026-01-01T00:00:00+00:00", "2028-02-29T00:00:00+00:00"),
    ("0 0 L * *", "2026-01-31T00:00:00+00:00", "2026-02-28T00:00:00+00:00"),
    ("0 9 * * mon#1", "2026-01-06T00:00:00+00:00", "2026-02-02T09:00:00+00:00"),
    # A day of the month or a day of the week, as cron has it.
    ("0 0 13 * fri", "2026-02-01T00:00:00+00:00", "2026-02-06T00:00:00+00:00"),
]


@pytest.mark.parametrize(("expression", "after", "tick"), NEXT)
def test_what_expressions_mean(expression: str, after: str, tick: str) -> None:
    assert cron_mistake(expression) is None
    assert Cron(expression, UTC).after(moment(after)) == moment(tick)


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "* * * * * *", "60 * * * *", "*/0 * * * *", "5-1 * * * *", "a b c d e", "@often", "@reboot",
     "0 0 30 2 *", "0 0 * * 8", "1,, * * * *", "0 0 L/2 * 1L/2", "0 0 * * 0#6", "* * * * *" + " " * 300 + "x",
     "٣ * * * *"],
)  # fmt: skip
def test_what_is_no_expression_is_said(expression: str) -> None:
    assert cron_mistake(expression)


@given(st.text(alphabet="0123456789*/,-L#W @dailymonfe", max_size=30))
def test_any_text_is_an_expression_or_a_mistake(text: str) -> None:
    assert cron_mistake(text) or Cron(text, UTC).after(datetime(2026, 1, 1, tzinfo=UTC))


@given(
    st.integers(1, 10_000_000),
    st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=400)),
)
def test_intervals_count_from_their_anchor(every_s: int, anchor: datetime, distance: timedelta) -> None:
    tick = Interval(every_s, anchor).after(anchor + distance)
    assert tick > anchor + distance
    assert tick >= anchor
    assert (tick - anchor) % timedelta(seconds=every_s) == timedelta(0)
    assert tick == anchor or tick - timedelta(seconds=every_s) <= anchor + distance


def test_ticks_keep_within_their_bounds() -> None:
    start, end = moment("2026-01-01T00:00+00:00"), moment("2026-01-01T02:00+00:00")
    within = Within(Cron("@hourly", UTC), start, end)
    assert upcoming(within, moment("2020-01-01T00:00+00:00"), 9) == [start, start + timedelta(hours=1), end]
    assert within.after(end) is None


@given(st.integers(1, 300), st.integers(0, 5000), st.sampled_from(["* * * * *", "*/7 3 * * *", "@weekly"]))
@settings(deadline=None)
def test_the_newest_ticks_are_the_last_of_all(limit: int, minutes: int, expression: str) -> None:
    cron = Cron(expression, UTC)
    first = cron.after(moment("2026-01-01T00:00+00:00"))
    until = first + minutes * MINUTE
    every = [first]
    while (tick := cron.after(every[-1])) <= until:
        every.append(tick)
    assert newest(cron, first, until, limit) == every[-limit:]


def test_a_zone_is_one_that_exists() -> None:
    assert zone_of("Europe/Berlin") is not None
    for name in ("", "Europe", "Mars/Olympus", "../../etc/passwd", "Europe/Berlin\x00", "x" * 5000):
        assert zone_of(name) is None, name
