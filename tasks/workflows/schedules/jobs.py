"""Celery tasks of schedules: one looks at the clock, one forgets old ticks."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task, shared_task

from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.queue import shutdown
from tasks.queue.hints import send_hint
from tasks.queue.nudges import tell_of_journal
from tasks.runtime import runtime_of
from tasks.workflows.hints import hint_runs
from tasks.workflows.schedules import store
from tasks.workflows.schedules.clock import LOOK, QUEUE, look
from tasks.workflows.schedules.firing import Firing
from tasks.workflows.service import WorkflowService

log = logging.getLogger(__name__)

_LIMIT = 1000


@shared_task(name=LOOK, bind=True)
def schedules(self: Task[Any, Any]) -> None:
    """Begins the runs of ticks that have come, and of those that come in the next seconds, each at its time."""
    runtime = runtime_of(self.app)
    workflows = WorkflowService(runtime.db, runtime.settings, hint_runs(self.app))
    try:
        more = look(runtime.db, Firing(runtime.db, workflows), shutdown, lambda: tell_of_journal(runtime.redis()))
    except (DatabaseUnavailable, DatabaseBusy) as problem:
        log.warning("schedules-without-database", extra={"error": problem.detail})
        return
    if more:
        send_hint(self.app, LOOK, [], QUEUE)


@shared_task(name="schedules.retention", bind=True)
def retention(self: Task[Any, Any]) -> None:
    """Forgets what became of ticks that lie longer ago than the journal is kept."""
    runtime = runtime_of(self.app)
    touched = _LIMIT
    while touched >= _LIMIT:
        with runtime.db.transaction() as tx:
            touched = store.delete_old_ticks(tx, runtime.settings.retention_journal_days, _LIMIT)
