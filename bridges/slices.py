"""Work in slices of time: each sends its successor, and goes on itself where the broker takes no message.

A slice that loses PostgreSQL begins anew by itself. Left to beat it would wait for its next message, five seconds.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from celery import Celery

from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.queue import shutdown
from tasks.queue.hints import send_hint

log = logging.getLogger(__name__)

# Longer than from one message of beat's to the next: while PostgreSQL is away, one or two of a kind wait for it.
_RECONNECT_FOR_S = 6.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 0.5


def work_in_slices(app: Celery, task_name: str, queue: str, work: Callable[[], bool]) -> None:
    """Calls ``work`` for a slice and sends ``task_name`` as its successor; ends without one where ``work`` says no,
    since another is at work then, or where PostgreSQL stays away.

    ``work`` raises DatabaseUnavailable or DatabaseBusy where it has lost PostgreSQL, and may be called again.

    Without Redis, or with one that is full, there would be no successor, and beat's net sends none either: then the
    next slice begins here, so that the journal goes on to Kafka and the state stream is emptied, which alone may give
    Redis room again.
    """
    while _worked(task_name, work):
        if send_hint(app, task_name, [], queue) or shutdown.requested():
            return


def _worked(task_name: str, work: Callable[[], bool]) -> bool:
    """``work()``; called again where it loses PostgreSQL, for ``_RECONNECT_FOR_S`` after each loss."""
    pause_s, lost_at, tried_at = 0.0, 0.0, 0.0
    while True:
        began = time.monotonic()
        try:
            return work()
        except (DatabaseUnavailable, DatabaseBusy) as problem:
            tried_at = time.monotonic()
            # What had its connection for a while has lost it anew.
            if not pause_s or tried_at - began > _RECONNECT_FOR_S:
                pause_s, lost_at = _FIRST_PAUSE_S, tried_at
                log.warning("slice-lost-database", extra={"task_name": task_name, "error": problem.detail})
        if tried_at - lost_at > _RECONNECT_FOR_S or shutdown.wait(pause_s * random.uniform(0.5, 1.0)):  # noqa: S311 - jitter
            return False
        pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
