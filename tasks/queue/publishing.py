"""Sends task messages: puts the correlation id into their headers and the transition ``sent`` into the stream.

A subclass of Celery's AMQP rather than a ``before_task_publish`` receiver, since that signal does not say which
app publishes.
"""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP

from tasks import correlation
from tasks.queue.connection import PromptConnection
from tasks.stream.transition import CORRELATION_HEADER, transition
from tasks.stream.writer import StreamWriter


class BridgeAMQP(AMQP):
    """Celery's AMQP for an app that has a ``bridge_stream``."""

    Connection = PromptConnection

    def _create_task_sender(self) -> Any:
        publish = super()._create_task_sender()  # type: ignore[misc]  # not in the stubs
        default_queue: str = self.app.conf.task_default_queue
        stream: StreamWriter = self.app.bridge_stream  # type: ignore[attr-defined]

        def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> Any:
            headers = message.headers
            headers.setdefault(CORRELATION_HEADER, correlation.current() or headers.get("root_id"))
            entry = transition(
                "sent",
                headers["id"],
                name,
                attempt=headers.get("retries") or 0,
                queue=_queue_name(options) or default_queue,
                correlation_id=headers[CORRELATION_HEADER],
                parent_id=headers.get("parent_id"),
                root_id=headers.get("root_id"),
                eta=headers.get("eta"),
            )
            with stream.sending(entry):
                return publish(producer, name, message, **options)

        return send_task_message


def _queue_name(options: dict[str, Any]) -> str | None:
    queue = options.get("queue")
    return getattr(queue, "name", queue) or options.get("routing_key")
