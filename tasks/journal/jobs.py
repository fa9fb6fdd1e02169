"""Celery tasks that keep the journal: partitions made ahead, and dropped when nobody needs them."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task, shared_task

from tasks.journal import store
from tasks.runtime import runtime_of

log = logging.getLogger(__name__)
DAYS_AHEAD = 3


@shared_task(name="journal.partitions", bind=True)
def partitions(self: Task[Any, Any]) -> None:
    """Makes the next days' partitions; drops days past the retention that every sink has passed."""
    runtime = runtime_of(self.app)
    with runtime.db.transaction() as tx:
        store.make_partitions(tx, DAYS_AHEAD)
    with runtime.db.transaction() as tx:
        dropped = store.drop_partitions(tx, runtime.settings.retention_journal_days)
    if dropped:
        log.info("journal-partitions-dropped", extra={"partitions": dropped})
