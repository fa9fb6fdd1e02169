"""A task that does nothing, so that a drain of many shows what Celery itself and the mirror cost."""

from __future__ import annotations

from celery import shared_task

NAME = "metrics.noop"
QUEUE = "metrics"


@shared_task(name=NAME)
def noop() -> None:
    """Does nothing."""
