"""Celery tasks that keep the mirrored states: what is silent for too long is lost, what is old goes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, cast

import redis
from celery import Task, shared_task

from tasks.db.pool import Transaction
from tasks.queue.schedule import beat_schedule
from tasks.runtime import Runtime, runtime_of
from tasks.states import store
from tasks.stream.transition import STREAM

log = logging.getLogger(__name__)

_BATCH = 500
_BEHIND_S = 15.0


@shared_task(name="states.sweep", bind=True)
def sweep(self: Task[Any, Any]) -> None:
    """Marks tasks as lost that had no news for too long. Waits while news may still be on the stream."""
    runtime = runtime_of(self.app)
    if _news_may_wait(runtime):
        log.info("states-sweep-waits", extra={"reason": "the state stream is not drained"})
        return
    lost = _BATCH
    while lost >= _BATCH:
        with runtime.db.transaction() as tx:
            lost = store.mark_lost(tx, runtime.settings.task_lost_after_s, _BATCH)
        if lost:
            log.warning("tasks-lost", extra={"count": lost})


@shared_task(name="states.retention", bind=True)
def retention(self: Task[Any, Any]) -> None:
    """Deletes tasks that ended before the retention, a batch at a time; the journal keeps its own time."""
    runtime = runtime_of(self.app)
    _repeat(runtime, lambda tx: store.delete_old(tx, runtime.settings.retention_tasks_days, _BATCH))
    # Beat sends these all day long; what went well is of no interest after a day.
    housekeeping = sorted(beat_schedule(runtime.settings))
    _repeat(runtime, lambda tx: store.delete_housekeeping(tx, housekeeping, _BATCH))


def _repeat(runtime: Runtime, delete: Callable[[Transaction], int]) -> None:
    deleted = _BATCH
    while deleted >= _BATCH:
        with runtime.db.transaction() as tx:
            deleted = delete(tx)


def _news_may_wait(runtime: Runtime) -> bool:
    try:
        oldest = cast("list[tuple[bytes, Any]]", runtime.redis().xrange(STREAM, count=1))
    except redis.RedisError:
        return True
    if not oldest:
        return False
    written_ms = int(oldest[0][0].split(b"-")[0])
    return time.time() - written_ms / 1000 > _BEHIND_S
