"""Celery tasks of model metrics: a large batch travels as a chord of its chunks, small ones many at a time.

Whatever happens to a message or a chord, the rows say what is left to do, and the sweeper looks at them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from celery import Task, chord, shared_task

from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.metrics import store
from tasks.metrics.applying import Applier
from tasks.metrics.model import Chunk
from tasks.queue.hints import send_hint
from tasks.queue.nudges import tell_of_journal
from tasks.queue.telemetry import tell
from tasks.runtime import Runtime, runtime_of

QUEUE = "metrics"
APPLY = "metrics.apply"
APPLIED_ROWS = "metrics_chunk_seconds"

_SLICE_S = 5.0
_FORGET_AT_ONCE = 20
_STREAMS_AT_ONCE = 1000
_RETRIES: dict[str, Any] = {
    "autoretry_for": (DatabaseUnavailable, DatabaseBusy),
    "max_retries": 5,
    "retry_backoff": True,
    "retry_backoff_max": 30,
}


@shared_task(name=APPLY, bind=True, **_RETRIES)
def apply(self: Task[Any, Any]) -> None:
    """Looks for batches that wait: sends the large ones on their way as chords, adds the small ones itself.

    Goes on by a successor after a slice of time.
    """
    applier = _applier(self)
    deadline = time.monotonic() + _SLICE_S
    while True:
        batches = applier.dispatch()
        for chunks in batches:
            send_chord(chunks)
        worked = applier.apply_small() + applier.close_left() + len(batches)
        if not worked:
            return
        tell_of_journal(runtime_of(self.app).redis())
        if time.monotonic() > deadline:
            send_hint(self.app, APPLY, [], queue=QUEUE)
            return


@shared_task(name="metrics.chunk", bind=True, **_RETRIES)
def add_chunk(self: Task[Any, Any], batch_id: str, number: int) -> None:
    """Adds one chunk of a batch to the rollups, once however often it is told to."""
    began = time.monotonic()
    if _applier(self).apply(Chunk(UUID(batch_id), number)):
        tell(runtime_of(self.app), APPLIED_ROWS, time.monotonic() - began)


@shared_task(name="metrics.close", bind=True, **_RETRIES)
def close(self: Task[Any, Any], batch_id: str) -> None:
    """The chord's body: closes the batch when its rows say that it is done."""
    _applier(self).close([UUID(batch_id)])
    tell_of_journal(runtime_of(self.app).redis())


@shared_task(name="metrics.sweep", bind=True)
def sweep(self: Task[Any, Any]) -> None:
    """Finds batches that wait without a message, or whose chord is lost, and sends the hint again."""
    runtime = runtime_of(self.app)
    settings = runtime.settings
    with runtime.db.transaction() as tx:
        waiting = store.is_waiting(tx, settings.hint_grace_s, settings.metrics_lease_s)
    if waiting:
        send_hint(self.app, APPLY, [], queue=QUEUE)


@shared_task(name="metrics.retention", bind=True)
def retention(self: Task[Any, Any]) -> None:
    """Deletes raw rows past the retention, batch by batch. Rollups stay for ever."""
    runtime = runtime_of(self.app)
    keep_days = runtime.settings.retention_executions_days
    _forget(runtime, keep_days)
    forgotten = _STREAMS_AT_ONCE
    while forgotten >= _STREAMS_AT_ONCE:
        with runtime.db.transaction() as tx:
            forgotten = store.forget_streams(tx, keep_days, _STREAMS_AT_ONCE)


def send_chord(chunks: Sequence[Chunk]) -> None:
    """Sends a batch's chunks as a chord's header, and its closing as the body."""
    header = [add_chunk.si(str(chunk.batch_id), chunk.number).set(queue=QUEUE) for chunk in chunks]
    chord(header)(close.si(str(chunks[0].batch_id)).set(queue=QUEUE))


def _forget(runtime: Runtime, keep_days: int) -> None:
    forgotten = _FORGET_AT_ONCE
    while forgotten >= _FORGET_AT_ONCE:
        with runtime.db.transaction(statement_timeout_ms=60_000) as tx:
            forgotten = store.forget(tx, keep_days, _FORGET_AT_ONCE)


def _applier(task: Task[Any, Any]) -> Applier:
    runtime = runtime_of(task.app)
    return Applier(runtime.db, runtime.settings)
