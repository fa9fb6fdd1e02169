"""The Celery task that looks for regressions."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task, shared_task

from tasks.metrics.prices.service import PriceService
from tasks.metrics.regressions.service import RegressionService
from tasks.runtime import runtime_of

log = logging.getLogger(__name__)


@shared_task(name="metrics.regressions", bind=True)
def watch(self: Task[Any, Any]) -> None:
    """Checks all models once; what it finds is in ``model_regressions`` and in the journal."""
    db = runtime_of(self.app).db
    found = RegressionService(db, PriceService(db)).check()
    if found.opened:
        log.warning("model-regressions-detected", extra={"count": len(found.opened)})
    if found.resolved:
        log.info("model-regressions-resolved", extra={"count": len(found.resolved)})
