"""The Celery task that keeps the audit log within its retention."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from tasks.access.service import delete_old_records
from tasks.runtime import runtime_of

_LIMIT = 1000


@shared_task(name="access.retention", bind=True)
def retention(self: Task[Any, Any]) -> None:
    """Deletes audit rows past the retention, a thousand at a time."""
    runtime = runtime_of(self.app)
    deleted = _LIMIT
    while deleted >= _LIMIT:
        with runtime.db.transaction() as tx:
            deleted = delete_old_records(tx, runtime.settings.retention_audit_days, _LIMIT)
