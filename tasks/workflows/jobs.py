"""Celery tasks of workflows: thin, each only says where to look."""

from __future__ import annotations

import logging
import time
from typing import Any
from uuid import UUID

from celery import Task, shared_task

from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.queue import shutdown
from tasks.queue.hints import hint_sender, send_hint
from tasks.queue.nudges import Ears
from tasks.runtime import Runtime, runtime_of
from tasks.workflows import caching, kinds
from tasks.workflows.store import runs
from tasks.workflows.work.canvas import CLOSE, ITEMS, RUN, STEPS, Sender, Trip
from tasks.workflows.work.carrying import Carrier
from tasks.workflows.work.clock import Clock
from tasks.workflows.work.contexts import Contexts
from tasks.workflows.work.following import CLOCK, Following
from tasks.workflows.work.itemwork import ItemWork

log = logging.getLogger(__name__)

__all__ = ["attend", "clock", "close_map", "do_items", "do_steps", "kinds", "retention"]

_PASSING = (DatabaseUnavailable, DatabaseBusy)
_LONGEST_WAIT_S = 1.0
_SHORTEST_WAIT_S = 0.005
_DELETE_LIMIT = 200
_options: dict[str, Any] = {
    "bind": True,
    "autoretry_for": _PASSING,
    "max_retries": 5,
    "retry_backoff": True,
    "retry_backoff_max": 30,
}


@shared_task(name=STEPS, **_options)
def do_steps(self: Task[Any, Any], run_id: str, places: list[int]) -> int:
    """Does what of these steps is ready, and what follows; returns how many ended."""
    return Carrier(runtime_of(self.app), _following(self), Trip(self.request)).carry(UUID(run_id), places)


@shared_task(name=RUN, **_options)
def attend(self: Task[Any, Any], run_id: str) -> None:
    """Looks at a run: begins it, sends what is ready on its way and does some of it, ends it."""
    following = _following(self)
    found = following.take_up(UUID(run_id))
    if found is not None:
        Carrier(runtime_of(self.app), following, Trip(self.request)).attend(*found)


@shared_task(name=ITEMS, **_options)
def do_items(self: Task[Any, Any], run_id: str, place: int, ranges: list[tuple[int, int]]) -> int:
    """Does items of a map; returns how many attempts that were."""
    return ItemWork(runtime_of(self.app), _following(self)).work(UUID(run_id), place, ranges)


@shared_task(name=CLOSE, **_options)
def close_map(self: Task[Any, Any], run_id: str, place: int) -> None:
    """Ends a map all of whose items have ended, and sends those that no message carries yet."""
    runtime, following = runtime_of(self.app), _following(self)
    with runtime.db.transaction() as tx:
        context = runtime.kept(Contexts).of(tx, UUID(run_id))
    if not following.close(context, place):
        following.send_items(context, place)


@shared_task(name=CLOCK, bind=True)
def clock(self: Task[Any, Any]) -> None:
    """Looks at what is due for a slice of time and sends its successor; ends at once where another does."""
    runtime = runtime_of(self.app)
    until = time.monotonic() + runtime.settings.bridge_slice_s
    with Ears(runtime.redis(), CLOCK) as ears:
        if ears.deaf:
            # Redis is away, or another clock is at work: a single look does no harm.
            until = time.monotonic()
        over = _tick_until(Clock(runtime, _following(self)), ears, until)
    if over and not shutdown.requested():
        send_hint(self.app, CLOCK, [], queue="bridges")


@shared_task(name="workflows.retention", bind=True)
def retention(self: Task[Any, Any]) -> None:
    """Deletes ended runs past the retention, and outputs that nobody may take from the cache any more."""
    runtime = runtime_of(self.app)
    parameters = {"keep_days": runtime.settings.retention_workflows_days, "limit": _DELETE_LIMIT}
    touched = _DELETE_LIMIT
    while touched >= _DELETE_LIMIT:
        with runtime.db.transaction() as tx:
            touched = tx.execute(runs.QUERIES["delete_old"], parameters)
    with runtime.db.transaction() as tx:
        caching.delete_expired(tx)


def _tick_until(clock: Clock, ears: Ears, until: float) -> bool:
    """Ticks until the slice is over; True when it is this one's business to go on."""
    listened = not ears.deaf
    while True:
        try:
            more = clock.tick()
            wait_s = 0.0 if more else clock.wait_s()
        except _PASSING as problem:
            log.warning("clock-without-database", extra={"error": problem.detail})
            more, wait_s = False, _LONGEST_WAIT_S
        except Exception:
            # Nothing ends the clock: it is what makes everything else good.
            log.exception("clock-tick-failed")
            more, wait_s = False, _LONGEST_WAIT_S
        if time.monotonic() >= until or shutdown.requested():
            return listened
        if not more:
            wait_s = _LONGEST_WAIT_S if wait_s is None else min(_LONGEST_WAIT_S, wait_s)
            ears.wait(max(_SHORTEST_WAIT_S, wait_s))
        ears.keep()
        if ears.deaf:
            return False


def _following(task: Task[Any, Any]) -> Following:
    runtime: Runtime = runtime_of(task.app)
    sender = hint_sender(task.app)
    return Following(runtime, Sender(task.app), lambda: _wake_clock(sender))


def _wake_clock(sender: Any) -> None:
    if not sender.nudge(CLOCK):
        log.debug("clock-not-heard")
