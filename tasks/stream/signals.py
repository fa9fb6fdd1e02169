"""Notes the transitions that only Celery's signals tell of: received, and messages that no task takes.

All others are noted where they happen: ``sent`` in ``tasks.queue.publishing``, the rest in ``tasks.queue.request``.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery, signals

from tasks.stream.transition import CORRELATION_HEADER, transition
from tasks.stream.writer import StreamWriter

log = logging.getLogger(__name__)


def install(app: Celery, stream: StreamWriter) -> None:
    """Connects ``stream`` to the signals of ``app``'s workers; those of other apps are left alone."""

    def on_received(sender: Any = None, request: Any = None, **_: Any) -> None:
        if sender.app is app:
            stream.become_patient(sender.timer.call_after)
            request.note("received")

    def on_unknown(sender: Any = None, message: Any = None, name: str = "", id: str = "", **_: Any) -> None:
        if sender.app is app:
            _rejected(sender, message, id, name, "NotRegistered", f"no task of this name is registered: {name}")

    def on_rejected(sender: Any = None, message: Any = None, exc: Any = None, **_: Any) -> None:
        headers = message.headers or {}
        if sender.app is app and headers.get("id"):
            error_type = None if exc is None else type(exc).__name__
            error = str(exc or "this is not a task message")
            _rejected(sender, message, headers["id"], headers.get("task"), error_type, error)

    def _rejected(
        sender: Any, message: Any, task_id: str, name: str | None, error_type: str | None, error: str
    ) -> None:
        headers = message.headers or {}
        log.error("task-rejected", extra={"task_id": task_id, "task_name": name, "error_type": error_type})
        stream.write(
            transition(
                "rejected",
                task_id,
                name,
                attempt=headers.get("retries") or 0,
                queue=(message.delivery_info or {}).get("routing_key"),
                worker=sender.hostname,
                correlation_id=headers.get(CORRELATION_HEADER) or headers.get("root_id"),
                parent_id=headers.get("parent_id"),
                root_id=headers.get("root_id"),
                error_type=error_type,
                error=error,
            )
        )

    uid = f"omninode-stream-{id(app)}"
    signals.task_received.connect(on_received, weak=False, dispatch_uid=uid)
    signals.task_unknown.connect(on_unknown, weak=False, dispatch_uid=uid)
    signals.task_rejected.connect(on_rejected, weak=False, dispatch_uid=uid)
