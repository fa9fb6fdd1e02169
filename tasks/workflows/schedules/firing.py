"""Turns ticks that have come into runs: the tick is claimed and its run made in one transaction, so each runs once.

Any number of these may work at the same time. Whoever dies leaves the tick as it was, for the next look.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from tasks.db.pool import Database, Transaction
from tasks.ids import new_id
from tasks.workflows.beginning import NotBegun, begin
from tasks.workflows.expressions import names
from tasks.workflows.schedules import store
from tasks.workflows.schedules.cadence import zone_of
from tasks.workflows.schedules.model import Schedule, ScheduleSpec, judge
from tasks.workflows.schedules.store import Step, Tick
from tasks.workflows.service import WorkflowService
from tasks.workflows.submitting import Submission

log = logging.getLogger(__name__)

BATCH = 50
# Of one schedule that catches up, in one transaction.
_RUNS_AT_ONCE = 20


class Firing:
    """Looks for ticks that have come."""

    def __init__(self, db: Database, workflows: WorkflowService) -> None:
        self._db = db
        self._workflows = workflows

    def fire_due(self) -> int:
        """Deals with up to ``BATCH`` schedules whose tick has come; returns how many.

        Raises:
            DatabaseUnavailable, DatabaseBusy: nothing was done.
        """
        with self._db.transaction() as tx:
            schedules, now = store.claim_due(tx, BATCH)
            if now is None:
                return 0
            steps = [self._step(tx, schedule, now) for schedule in schedules]
            store.move_on(tx, steps)
            started = {tick.run_id: tick.priority for step in steps for tick in step.ticks if tick.run_id is not None}
        if started:
            self._workflows.hint(started)
        return len(schedules)

    def _step(self, tx: Transaction, schedule: Schedule, now: datetime) -> Step:
        verdict = judge(schedule, now, _RUNS_AT_ONCE)
        ticks: list[Tick] = []
        if verdict.last_missed is not None and (verdict.run or verdict.last == verdict.last_missed):
            count = f"{verdict.missed} ticks were" if verdict.missed > 1 else "the tick was"
            ticks.append(Tick(schedule.id, verdict.last_missed, "missed", detail=f"{count} missed"))
        previous, still_open = schedule.last_tick, schedule.previous_open
        for tick in verdict.run:
            if still_open and schedule.spec.overlap == "skip":
                ticks.append(Tick(schedule.id, tick, "overlapped", detail="the run before is still open"))
            else:
                ticks.append(self._start(tx, schedule, tick, previous, verdict.missed))
                still_open = ticks[-1].run_id is not None
            previous = tick
        next_tick = schedule.spec.cadence(schedule.created_at).after(verdict.last)
        return Step(schedule, ticks, verdict.last, next_tick)

    def _start(
        self, tx: Transaction, schedule: Schedule, tick: datetime, previous: datetime | None, missed: int
    ) -> Tick:
        values = tick_values(schedule.id, schedule.spec, tick, previous=previous, missed=missed)
        try:
            run = begin(
                tx, self._workflows, lambda: submission_of(schedule.id, schedule.spec, values, tick.isoformat())
            )
        except NotBegun as refusal:
            # This tick can't run, now or later: that is told, and the schedule goes on.
            log.warning("schedule-tick-failed", extra={"schedule_id": str(schedule.id), "error_code": refusal.code})
            return Tick(schedule.id, tick, "failed", detail=refusal.reason)
        return Tick(schedule.id, tick, "started", run.run_id, priority=run.priority)


def submission_of(schedule_id: UUID, spec: ScheduleSpec, values: Mapping[str, Any], what: str) -> Submission:
    """The run of a tick; ``what`` names it within its schedule. Raises EvaluationError."""
    return spec.target.submission(
        values,
        names.SCHEDULE,
        key=f"schedule/{schedule_id}/{what}",
        by=f"schedule:{spec.name}",
        correlation_id=str(new_id()),
    )


def tick_values(
    schedule_id: UUID,
    spec: ScheduleSpec,
    tick: datetime,
    *,
    previous: datetime | None,
    missed: int = 0,
    manual: bool = False,
) -> dict[str, Any]:
    """What the templates of the input may read, as ``schedule``."""
    zone = zone_of(spec.timezone)
    return {
        "schedule": {
            "id": str(schedule_id),
            "name": spec.name,
            "tick": _utc(tick),
            "local_tick": tick.astimezone(zone).isoformat(),
            "timezone": spec.timezone,
            "previous_tick": None if previous is None else _utc(previous),
            "missed": missed,
            "manual": manual,
        }
    }


def _utc(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
