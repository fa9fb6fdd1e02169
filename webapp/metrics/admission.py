"""Bounds how many large bodies one process takes in at the same time: each needs memory, and a connection for long.

Others wait their turn, so that hooks find connections however many batches come.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, current_app

from tasks.hooks.admission import Overloaded
from webapp.services import of

_WAIT_S = 5.0
_KEY = "bridge-metrics-admission"


def install(app: Flask) -> None:
    """Lets ``METRICS_ACCEPT_LIMIT`` large bodies into ``app`` at a time."""
    app.extensions[_KEY] = threading.BoundedSemaphore(of(app).settings.metrics_accept_limit)


@contextmanager
def turn() -> Iterator[None]:
    """Waits for a turn, and holds it for the block.

    Raises:
        Overloaded: it was not this request's turn within 5 s.
    """
    turns: threading.BoundedSemaphore = current_app.extensions[_KEY]
    if not turns.acquire(timeout=_WAIT_S):
        raise Overloaded("Too many batches are on their way in; send this one again later.")
    try:
        yield
    finally:
        turns.release()
