"""When a schedule's ticks are: cron expressions in a time zone, and intervals. Pure functions of times.

Cron goes through daylight saving as Debian's cron(8) does. What names a fixed time (neither minute nor hour begins
with ``*``) follows the clock on the wall: a time that is skipped is taken right after the gap, one that comes twice
is taken once, the first time. Everything else runs in real time, through skipped and repeated hours alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

LONGEST_CRON = 200
_FIELDS = 5
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_INSTANT = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)


class Cadence(Protocol):
    """A rule that says when ticks are."""

    def after(self, moment: datetime) -> datetime | None:
        """The first tick later than ``moment``, in UTC; None where none comes within 50 years."""


@dataclass(frozen=True)
class Cron:
    """Ticks by a cron expression of five fields, or a nickname such as ``@daily``, as a clock in ``zone`` shows."""

    expression: str
    zone: tzinfo

    def after(self, moment: datetime) -> datetime | None:
        """See ``Cadence``."""
        expression = _expanded(self.expression)
        if any(field.startswith("*") for field in expression.split()[:2]):
            return self._in_real_time(expression, moment)
        for tick in CronSim(expression, moment.astimezone(self.zone)):
            found = tick.astimezone(UTC)
            # In an hour that comes twice the wall's clock goes back behind ``moment``.
            if found > moment:
                return found
        return None

    def _in_real_time(self, expression: str, moment: datetime) -> datetime | None:
        """As long as a zone's offset stays the same its clock runs as any other: one such span after the other.

        cronsim goes through offsets by itself, and is half an hour off on the days when Lord Howe Island's changes.
        """
        begin, offset, passed = moment, self._offset(moment), timedelta(0)
        while True:
            local = next(CronSim(expression, (begin - passed + offset).replace(tzinfo=None)), None)
            if local is None:
                return None
            tick = local.replace(tzinfo=UTC) - offset
            if self._offset(tick) == offset:
                return tick
            begin = self._change(begin, tick)
            # Where the next span begins there may be a tick already.
            offset, passed = self._offset(begin), _INSTANT

    def _change(self, before: datetime, after: datetime) -> datetime:
        """The first whole second of another offset between two moments that differ in it."""
        offset = self._offset(before)
        while after - before > _SECOND:
            middle = before + (after - before) / 2
            before, after = (middle, after) if self._offset(middle) == offset else (before, middle)
        return after.replace(microsecond=0)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta(0)


@dataclass(frozen=True)
class Interval:
    """Ticks every ``every_s`` seconds, counted from ``anchor``, which is the first."""

    every_s: int
    anchor: datetime

    def after(self, moment: datetime) -> datetime | None:
        """See ``Cadence``."""
        passed = math.floor((moment - self.anchor) / timedelta(seconds=self.every_s))
        return self.anchor + timedelta(seconds=max(passed + 1, 0) * self.every_s)


@dataclass(frozen=True)
class Within:
    """The ticks of a cadence from ``start`` on up to ``end``, both included; None is no bound."""

    cadence: Cadence
    start: datetime | None = None
    end: datetime | None = None

    def after(self, moment: datetime) -> datetime | None:
        """See ``Cadence``."""
        if self.start is not None:
            moment = max(moment, self.start - _INSTANT)
        tick = self.cadence.after(moment)
        return None if tick is None or (self.end is not None and tick > self.end) else tick


@lru_cache(maxsize=1024)
def cron_mistake(expression: str) -> str | None:
    """What is wrong with a cron expression; None where it is right and has a tick."""
    expanded = _expanded(expression)
    if expression.startswith("@") and expanded is expression:
        return f"is none of {', '.join(sorted(_NICKNAMES))}"
    if len(expanded) > LONGEST_CRON or len(expanded.split()) != _FIELDS:
        return "must have five fields: minute, hour, day of month, month, day of week"
    try:
        never = next(CronSim(expanded, datetime(2000, 1, 1, tzinfo=UTC)), None) is None
    except (CronSimError, AssertionError) as mistake:
        return f"is no cron expression: {str(mistake).lower() or 'bad field'}"
    return "never comes" if never else None


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo | None:
    """The IANA time zone of this name; None where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def upcoming(cadence: Cadence, after: datetime, count: int) -> list[datetime]:
    """The next ``count`` ticks later than ``after``; fewer where there are no more."""
    found: list[datetime] = []
    tick = cadence.after(after)
    while tick is not None and len(found) < count:
        found.append(tick)
        tick = cadence.after(tick)
    return found


def newest(cadence: Cadence, first: datetime, until: datetime, limit: int) -> list[datetime]:
    """The last ``limit`` ticks from the tick ``first`` up to ``until``, in order.

    Looks at a few times ``limit`` ticks, however many there are: from the end it looks further and further back.
    """
    span = timedelta(minutes=1)
    while True:
        begin = max(first - _INSTANT, until - span)
        found: list[datetime] = []
        tick = cadence.after(begin)
        while tick is not None and tick <= until:
            found.append(tick)
            tick = cadence.after(tick)
        if len(found) >= limit or begin < first:
            return found[-limit:]
        span *= 4


def _expanded(expression: str) -> str:
    return _NICKNAMES.get(expression.strip().lower(), expression)
