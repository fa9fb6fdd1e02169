"""Celery tasks of the hook capability: thin, each only says where to look."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from celery import Task, shared_task

from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.hooks import demo, store
from tasks.hooks.handling import HookHandler
from tasks.hooks.shift import Shift
from tasks.queue.hints import send_hint
from tasks.runtime import Runtime, runtime_of

log = logging.getLogger(__name__)

__all__ = ["demo", "handle", "recover", "retention", "sweep"]

_SLICE_S = 5.0
_DELETE_LIMIT = 1000
_PASSING = (DatabaseUnavailable, DatabaseBusy)


@shared_task(
    name="hooks.handle",
    bind=True,
    autoretry_for=_PASSING,
    max_retries=3,
    retry_backoff=True,
    retry_backoff_max=30,
)
def handle(self: Task[Any, Any]) -> None:
    """Handles what is due in the inbox, batch by batch, oldest first; goes on by a successor after a slice of time.

    One of those that run at the same time stays a little for more, and hears of it by nudges. While batches are
    full it calls for company.
    """
    runtime = runtime_of(self.app)
    shift = Shift(runtime, lambda: send_hint(self.app, "hooks.handle", [], queue="hooks"))
    shift.work()


@shared_task(
    name="hooks.recover",
    bind=True,
    autoretry_for=_PASSING,
    max_retries=3,
    retry_backoff=True,
    retry_backoff_max=30,
)
def recover(self: Task[Any, Any]) -> None:
    """Handles hooks whose worker is gone, one at a time."""
    runtime = runtime_of(self.app)
    if not _work_for_a_slice(HookHandler(runtime.db, runtime.settings).handle_expired):
        send_hint(self.app, "hooks.recover", [], queue="hooks")


@shared_task(name="hooks.sweep", bind=True)
def sweep(self: Task[Any, Any]) -> None:
    """Finds hooks that wait without a message or hold an expired lease, and sends the hint again."""
    runtime = runtime_of(self.app)
    with runtime.db.transaction() as tx:
        buried = store.bury_expired(tx, runtime.settings.hook_max_attempts)
        found = tx.one(store.QUERIES["waiting"], {"grace_s": runtime.settings.hint_grace_s}) or {}
    if buried:
        log.warning("hooks-buried", extra={"count": buried})
    if found.get("due"):
        send_hint(self.app, "hooks.handle", [], queue="hooks")
    if found.get("expired"):
        send_hint(self.app, "hooks.recover", [], queue="hooks")


@shared_task(name="hooks.retention", bind=True)
def retention(self: Task[Any, Any]) -> None:
    """Frees delivery ids past the idempotency window, and deletes handled hooks past the retention that hold none.

    Dead hooks stay until somebody replays them.
    """
    runtime = runtime_of(self.app)
    settings = runtime.settings
    _repeat(
        runtime,
        "release_old_delivery_ids",
        {"window_s": settings.idempotency_window_s, "limit": _DELETE_LIMIT},
    )
    _repeat(runtime, "delete_old", {"keep_days": settings.retention_hooks_days, "limit": _DELETE_LIMIT})


def _work_for_a_slice(step: Callable[[], int]) -> bool:
    """Calls ``step`` until it finds nothing (True) or the slice of time is over (False)."""
    deadline = time.monotonic() + _SLICE_S
    while step():
        if time.monotonic() > deadline:
            return False
    return True


def _repeat(runtime: Runtime, query: str, parameters: dict[str, int]) -> None:
    touched = _DELETE_LIMIT
    while touched >= _DELETE_LIMIT:
        with runtime.db.transaction() as tx:
            touched = tx.execute(store.QUERIES[query], parameters)
