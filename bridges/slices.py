"""Work in slices of time: each sends its successor, and goes on itself where the broker takes no message."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery

from tasks.queue import shutdown
from tasks.queue.hints import send_hint


def work_in_slices(app: Celery, task_name: str, queue: str, work: Callable[[], bool]) -> None:
    """Calls ``work`` for a slice and sends ``task_name`` as its successor; ends without one where ``work`` says no.

    Without Redis, or with one that is full, there would be no successor, and beat's net sends none either: then the
    next slice begins here, so that the journal goes on to Kafka and the state stream is emptied, which alone may give
    Redis room again.
    """
    while work():
        if send_hint(app, task_name, [], queue) or shutdown.requested():
            return
