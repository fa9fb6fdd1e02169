"""Which rollups add up to a stretch of time: the coarsest that fit, and finer ones at its edges.

Thirty days that begin in the middle of an hour are 29 or so day rollups, up to 46 hours and up to 118 minutes: few
rows, and exact to the minute, since rollups hold sums and mergeable histograms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tasks.errors import FieldError, ValidationFailed

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
GRAINS = {"day": DAY, "hour": HOUR, "minute": MINUTE}
LONGEST = timedelta(days=3660)
# Widths of a time series' buckets; each is a multiple of a grain, and divides or is made of whole days.
WIDTHS = tuple(
    timedelta(seconds=seconds)
    for seconds in (60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000)
)
POINTS = 50
MOST_POINTS = 2000
# From here on a window that is given by its length begins with a whole hour.
_BY_THE_HOUR = DAY
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)  # a Monday


@dataclass(frozen=True)
class Part:
    """Rollups of one ``grain`` from ``since`` to before ``until``."""

    grain: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Window:
    """From ``since`` to before ``until``, whole minutes in UTC."""

    since: datetime
    until: datetime

    @classmethod
    def between(cls, since: datetime, until: datetime) -> Window:
        """The window that holds both times, rounded outwards to whole minutes.

        Raises:
            ValidationFailed: it is empty, longer than ten years, or not between 1970 and 2200.
        """
        known = all(_FIRST <= moment <= _LAST for moment in (since, until))
        window = cls(floor(since, MINUTE), ceiling(until, MINUTE)) if known else cls(_FIRST, _FIRST)
        if not timedelta(0) < window.length <= LONGEST:
            raise ValidationFailed(
                "There is no such window.",
                errors=[FieldError("/since", "must be before until, by ten years at most")],
            )
        return window

    @classmethod
    def last(cls, length: timedelta, now: datetime) -> Window:
        """The last ``length`` up to and with the current minute; from a day on it begins with a whole hour."""
        window = cls.between(now - length, now)
        return cls(floor(window.since, HOUR), window.until) if length >= _BY_THE_HOUR else window

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.until - self.since

    def parts(self, coarsest: str = "day") -> list[Part]:
        """The rollups that add up to it, in order, none coarser than ``coarsest``."""
        grains = list(GRAINS)
        return _parts(self.since, self.until, grains[grains.index(coarsest) :])

    def buckets(self, width: timedelta | None = None) -> tuple[Window, timedelta]:
        """The window widened to whole buckets, and their width: as given, else such that there are about 50.

        Raises:
            ValidationFailed: ``width`` is not one of ``WIDTHS``, or makes more than 2,000 points.
        """
        if width is None:
            width = min(WIDTHS, key=lambda known: _unfitness(self.length, known))
        if width not in WIDTHS:
            allowed = ", ".join(f"{known.total_seconds():g}" for known in WIDTHS)
            raise ValidationFailed("The bucket is not valid.", errors=[FieldError("/bucket_s", f"one of {allowed}")])
        widened = Window(floor(self.since, width), ceiling(self.until, width))
        if widened.length / width > MOST_POINTS:
            detail = f"makes more than {MOST_POINTS} points of this window"
            raise ValidationFailed("The bucket is too small.", errors=[FieldError("/bucket_s", detail)])
        return widened, width


def _unfitness(length: timedelta, width: timedelta) -> float:
    """How far a width is from making 50 points. Days are far cheaper to read than hours: they may make fewer."""
    return abs(math.log(length / width / POINTS)) - (0.4 if width >= DAY else 0.0)


def grain_of(width: timedelta) -> str:
    """The coarsest rollups that buckets of ``width`` are made of."""
    return next(grain for grain, length in GRAINS.items() if width % length == timedelta(0))


def floor(moment: datetime, width: timedelta) -> datetime:
    """The last whole ``width`` that is not after ``moment``; weeks begin on Monday."""
    moment = moment.astimezone(UTC)
    return moment - (moment - _EPOCH) % width


def ceiling(moment: datetime, width: timedelta) -> datetime:
    """The first whole ``width`` that is not before ``moment``."""
    floored = floor(moment, width)
    return floored if floored == moment else floored + width


def _parts(since: datetime, until: datetime, grains: list[str]) -> list[Part]:
    if since >= until:
        return []
    grain, *finer = grains
    first, last = ceiling(since, GRAINS[grain]), floor(until, GRAINS[grain])
    if first >= last:
        return _parts(since, until, finer)
    return [*_parts(since, first, finer), Part(grain, first, last), *_parts(last, until, finer)]
