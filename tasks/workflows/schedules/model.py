"""What a schedule is, and which of its ticks become runs.

active ◄──resume── paused          active | paused | ended ──change──► active | paused | ended
   ├────pause────►                 any state ──remove──► (gone)
   └──no tick to come──► ended
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from tasks.errors import FieldError
from tasks.workflows.expressions import names
from tasks.workflows.schedules.cadence import Cadence, Cron, Interval, Within, cron_mistake, newest, zone_of
from tasks.workflows.target import Target, name_mistakes

STATES = ("active", "paused", "ended")
CATCH_UPS = ("skip", "one", "all")
OVERLAPS = ("allow", "skip")
OUTCOMES = ("started", "overlapped", "missed", "failed")
MOST_CAUGHT_UP = 1000
LONGEST_EVERY_S = 31_622_400
LONGEST_JITTER_S = 3600
LONGEST_GRACE_S = 604_800
# Of ticks that were missed, how many are counted.
_COUNTED = 100
_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec:
    """What its owner says of a schedule. Either ``cron`` (in ``timezone``) or ``every_s`` says when ticks are.

    ``catch_up`` says what becomes of ticks that nobody was there for: ``skip`` them (the last one still runs where it
    is less than ``grace_s`` late), ``one`` run for all of them, or ``all``, at most the last ``catch_up_limit``.
    ``overlap`` ``skip`` passes a tick over while the run before is still open. ``jitter_s``: each tick is late by a
    part of it, the same whenever it is asked for.
    """

    name: str
    target: Target
    cron: str | None = None
    every_s: int | None = None
    timezone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    jitter_s: int = 0
    catch_up: str = "skip"
    catch_up_limit: int = 100
    grace_s: int = 60
    overlap: str = "allow"

    def row(self) -> dict[str, Any]:
        """The values of its columns."""
        return {**{name: getattr(self, name) for name in _COLUMNS}, **self.target.row()}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> ScheduleSpec:
        """The specification in a row of ``schedules``."""
        return cls(**{name: row[name] for name in _COLUMNS}, target=Target.of_row(row))

    def mistakes(self) -> Iterator[FieldError]:
        """Everything that is wrong with it by itself."""
        yield from name_mistakes(self.name)
        yield from self._cadence_mistakes()
        bounds = {
            "jitter_s": (0, LONGEST_JITTER_S),
            "grace_s": (0, LONGEST_GRACE_S),
            "catch_up_limit": (1, MOST_CAUGHT_UP),
        }
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                yield FieldError(f"/{name}", f"must be from {least} to {most}")
        for name, allowed in (("catch_up", CATCH_UPS), ("overlap", OVERLAPS)):
            if getattr(self, name) not in allowed:
                yield FieldError.not_one_of(f"/{name}", allowed)
        if self.catch_up == "all" and self.overlap == "skip":
            yield FieldError("/overlap", "must be 'allow' where catch_up is 'all': those runs begin side by side")
        yield from self.target.mistakes(names.SCHEDULE)

    def _cadence_mistakes(self) -> Iterator[FieldError]:
        if (self.cron is None) == (self.every_s is None):
            yield FieldError("/cron", "give either cron or every_s")
        if self.cron is not None and (mistake := cron_mistake(self.cron)):
            yield FieldError("/cron", mistake)
        if self.every_s is not None and not 1 <= self.every_s <= LONGEST_EVERY_S:
            yield FieldError("/every_s", f"must be from 1 to {LONGEST_EVERY_S}")
        if zone_of(self.timezone) is None:
            yield FieldError("/timezone", "must be an IANA time zone such as Europe/Berlin")
        for name in ("starts_at", "ends_at"):
            moment = getattr(self, name)
            if moment is not None and not _EARLIEST <= moment <= _LATEST:
                yield FieldError(f"/{name}", "must be between the years 1970 and 2200")
        if self.starts_at is not None and self.ends_at is not None and self.ends_at < self.starts_at:
            yield FieldError("/ends_at", "must not be before starts_at")

    def cadence(self, created_at: datetime) -> Cadence:
        """When its ticks are; intervals without a start count from ``created_at``. Call it on a valid one."""
        rule: Cadence
        if self.every_s is not None:
            rule = Interval(self.every_s, self.starts_at or created_at)
        else:
            rule = Cron(self.cron or "", zone_of(self.timezone) or UTC)
        return Within(rule, self.starts_at, self.ends_at)


_COLUMNS = tuple(name for name in ScheduleSpec.__dataclass_fields__ if name != "target")


@dataclass(frozen=True)
class Schedule:
    """A stored schedule at a tick that it has come to."""

    id: UUID
    spec: ScheduleSpec
    version: int
    next_tick: datetime
    last_tick: datetime | None
    created_at: datetime
    previous_open: bool

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Schedule:
        """The schedule in a row of ``claim_due``."""
        fields = ("id", "version", "next_tick", "last_tick", "created_at", "previous_open")
        return cls(spec=ScheduleSpec.of_row(row), **{name: row[name] for name in fields})

    def due_at(self, tick: datetime) -> datetime:
        """When a tick is to be looked at."""
        return due_at(self.id, self.spec.jitter_s, tick)


def due_at(schedule_id: UUID, jitter_s: int, tick: datetime) -> datetime:
    """``tick``, and the part of ``jitter_s`` that belongs to it: spread evenly, and always the same."""
    digest = hashlib.sha256(f"{schedule_id}/{tick.timestamp()}".encode()).digest()
    return tick + timedelta(seconds=jitter_s * int.from_bytes(digest[:4]) / 2**32)


class Verdict(NamedTuple):
    """What is to become of the ticks that are due. ``run``: these become runs, in order; ``missed``: so many do not
    (at most 100 are counted), of which ``last_missed`` is the last; ``last``: after this one it goes on."""

    run: list[datetime]
    missed: int
    last_missed: datetime | None
    last: datetime


def judge(schedule: Schedule, now: datetime, at_once: int) -> Verdict:
    """The verdict over the due ticks of ``schedule``, whose next one is due. At most ``at_once`` become runs; where
    more are to, ``last`` is the last of these."""
    spec = schedule.spec
    limit = max(_COUNTED, spec.catch_up_limit if spec.catch_up == "all" else 1)
    due = _due(schedule, now, limit)
    if spec.catch_up == "all":
        chosen = due[-spec.catch_up_limit :]
    elif spec.catch_up == "skip" and now - schedule.due_at(due[-1]) > timedelta(seconds=spec.grace_s):
        chosen = due[:0]
    else:
        chosen = due[-1:]
    passed = due[: len(due) - len(chosen)]
    run = chosen[:at_once]
    return Verdict(run, len(passed), passed[-1] if passed else None, (run or due)[-1])


def _due(schedule: Schedule, now: datetime, limit: int) -> list[datetime]:
    first = schedule.next_tick
    ticks = newest(schedule.spec.cadence(schedule.created_at), first, now, limit)
    # Where jitter is longer than the interval a later tick's time may come first; each waits for those before it.
    count = next((place for place, tick in enumerate(ticks) if schedule.due_at(tick) > now), len(ticks))
    return ticks[:count] or [first]
