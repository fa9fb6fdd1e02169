"""The triggers of a worker, listening for hooks; and the Celery task that forgets old firings."""

from __future__ import annotations

from typing import Any

from celery import Task, current_app, shared_task

from tasks.hooks.registry import listens
from tasks.runtime import runtime_of
from tasks.workflows.hints import hint_runs
from tasks.workflows.service import WorkflowService
from tasks.workflows.triggers import store
from tasks.workflows.triggers.firing import Triggers

_LIMIT = 1000


def _workflows() -> WorkflowService:
    """The service of the worker that handles a hook."""
    runtime = runtime_of(current_app)
    return WorkflowService(runtime.db, runtime.settings, hint_runs(current_app))


listens(Triggers(_workflows))


@shared_task(name="triggers.retention", bind=True)
def retention(self: Task[Any, Any]) -> None:
    """Forgets firings that lie longer ago than the journal is kept."""
    runtime = runtime_of(self.app)
    touched = _LIMIT
    while touched >= _LIMIT:
        with runtime.db.transaction() as tx:
            touched = store.delete_old_firings(tx, runtime.settings.retention_journal_days, _LIMIT)
