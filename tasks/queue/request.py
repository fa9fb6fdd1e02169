"""What a worker does with one message: notes each transition of its task, and ends poison loops.

The worker's main process sees everything that happens to a task, in order, the death of its child included. So it
is the one that notes the transitions. They are written together with the acknowledgement (``tasks.queue.broker``),
or a moment later where that is not yet near.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined]  # missing in the stubs
from celery import Celery
from celery.exceptions import Ignore, Reject, Retry, Terminated, TimeLimitExceeded, WorkerLostError
from celery.worker import state as worker_state
from celery.worker.request import Request
from kombu.utils.imports import symbol_by_name

from tasks.queue.deliveries import Deliveries
from tasks.runtime import runtime_of
from tasks.stream.transition import CORRELATION_HEADER, transition
from tasks.stream.writer import StreamWriter

log = logging.getLogger(__name__)

# The text of the Ignore with which Celery 5.6 ends a task that was replaced: the new one goes on under its id.
_REPLACED = "Replaced by new task"


class ObservedRequest(Request):
    """The request class of every task, before the task's own one if it has one.

    Deliveries of a message that ended with the death of its process, or with nothing at all, are limited to
    ``TASK_MAX_DELIVERIES``; then the message is dropped and the task is ``rejected``.
    """

    _ended = False
    _given_up = False
    _deliveries = 1

    def __init_subclass__(cls, **options: Any) -> None:
        # For each task Celery makes a subclass whose on_success calls none of ours.
        super().__init_subclass__(**options)
        if "on_success" in cls.__dict__:
            setattr(cls, "on_success", _noting_success(cls.__dict__["on_success"]))  # noqa: B010 - typed as a method

    def note(self, state: str, error: BaseException | str | None = None, at: datetime | None = None) -> None:
        """Puts the transition into ``state`` into the stream's buffer."""
        headers = self.request_dict
        root_id = headers.get("root_id")
        self._stream().add(
            transition(
                state,
                self.id,
                self.type,
                attempt=headers.get("retries") or 0,
                queue=self.delivery_info.get("routing_key"),
                worker=self.hostname,
                correlation_id=headers.get(CORRELATION_HEADER) or root_id,
                parent_id=headers.get("parent_id"),
                root_id=root_id,
                eta=headers.get("eta"),
                at=at,
                error_type=_type_of(error),
                error=_text_of(error),
            )
        )

    def note_end(self, state: str, error: BaseException | str | None = None) -> None:
        """Notes a state that ends this delivery, once."""
        if not self._ended:
            self._ended = True
            self.note(state, error)

    def revoked(self) -> bool:
        """Whether to skip the task: it was revoked or has expired, or its message came too often."""
        if self._given_up:
            return True
        if super().revoked():
            return True
        if self._redelivered() and self._counter().so_far() >= self._limit():
            self._deliveries = self._limit()
            self._give_up("it never came to an end")
            self.reject(requeue=False)
            return True
        return False

    def on_accepted(self, pid: Any, time_accepted: float) -> None:
        """A process of the pool has begun with the task."""
        if self._redelivered():
            self._deliveries = self._counter().began_again()
        self.note("started", at=datetime.fromtimestamp(time.time() - (time.monotonic() - time_accepted), UTC))
        if pid == os.getpid():
            # A pool of threads, or none: what runs here may hold up the timer that flushes.
            self._stream().flush()
        super().on_accepted(pid, time_accepted)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The soft or the hard time limit has passed."""
        task = self.task
        if not soft and not worker_state.should_terminate and task.acks_on_failure_or_timeout:
            self.note_end("failed", TimeLimitExceeded(timeout))
        super().on_timeout(soft, timeout)

    def on_retry(self, exc_info: Any) -> None:
        """The task has sent its next attempt."""
        self.note_end("retried", _unwrapped(exc_info))
        super().on_retry(exc_info)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """The task ended with an exception: an error, a wish of its own, or the death of its process."""
        error: Any = _unwrapped(exc_info)
        task = self.task
        if isinstance(error, Reject):
            self._told_to_reject(error)
        elif isinstance(error, Ignore):
            if error.args[:1] != (_REPLACED,):
                self.note_end("succeeded")
        elif isinstance(error, WorkerLostError) and task.acks_late and task.reject_on_worker_lost:
            if self._deliveries >= self._limit():
                self._give_up(f"its process died: {error}")
            else:
                self.note_end("retried", error)
        elif _is_an_end(error, task):
            self.note_end("failed", error)
        super().on_failure(exc_info, send_failed_event, return_ok)

    def reject(self, requeue: bool = False) -> None:
        """Gives the message back, or drops it."""
        requeue = requeue and not self._given_up
        if not self.acknowledged and not requeue:
            self.note_end("rejected")
        super().reject(requeue)

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        self.note_end("revoked", reason)
        super()._announce_revoked(reason, terminated, signum, expired)  # type: ignore[misc]

    def _told_to_reject(self, wish: Any) -> None:
        if wish.requeue:
            self._counter().forget()
        else:
            self.note_end("rejected", str(wish.reason))

    def _give_up(self, reason: str) -> None:
        self._given_up = True
        error = WorkerLostError(f"given up after {self._deliveries} deliveries: {reason}")
        log.error("task-given-up", extra={"task_id": self.id, "task_name": self.type, "error": str(error)})
        self.note_end("rejected", error)
        self.task.backend.mark_as_failure(
            self.id,
            error,
            request=self._context,  # type: ignore[attr-defined]
            store_result=self.store_errors,
        )

    def _redelivered(self) -> bool:
        return bool(self.delivery_info.get("redelivered"))

    def _counter(self) -> Deliveries:
        return Deliveries(runtime_of(self.app), self.id, self.request_dict.get("retries") or 0)

    def _limit(self) -> int:
        return runtime_of(self.app).settings.task_max_deliveries

    def _stream(self) -> StreamWriter:
        app: Any = self.app
        stream: StreamWriter = app.bridge_stream
        return stream


def observe_tasks(app: Celery) -> None:
    """Makes every registered task of ``app`` use an observed request class, a user's own class included."""
    for task in app.tasks.values():
        used = symbol_by_name(task.Request)
        observed: Any = ObservedRequest
        if used is not Request and not issubclass(used, ObservedRequest):
            observed = type(f"Observed{used.__name__}", (ObservedRequest, used), {})
        task.Request = observed


def _noting_success(ended: Callable[..., Any]) -> Callable[..., Any]:
    def on_success(self: ObservedRequest, failed__retval__runtime: tuple[Any, Any, Any], **options: Any) -> Any:
        if not failed__retval__runtime[0]:
            self.note_end("succeeded")
        return ended(self, failed__retval__runtime, **options)

    return on_success


def _is_an_end(error: BaseException, task: Any) -> bool:
    """Whether Celery will not hear of this delivery again, and no other receiver of ours notes it."""
    if isinstance(error, Terminated | MemoryError | Retry):
        return False
    requeued = isinstance(error, TimeLimitExceeded) and task.acks_late and not task.acks_on_failure_or_timeout
    return not requeued


def _unwrapped(exc_info: Any) -> BaseException:
    error: BaseException = exc_info.exception
    return error.exc if isinstance(error, ExceptionWithTraceback) else error


def _type_of(error: BaseException | str | None) -> str | None:
    if error is None or isinstance(error, str):
        return None
    cause = error.exc if isinstance(error, Retry) else error
    # An exception that can't be pickled comes as a wrapper that knows its name.
    return getattr(cause, "exc_cls_name", None) or (None if cause is None else type(cause).__name__)


def _text_of(error: BaseException | str | None) -> str | None:
    if error is None or isinstance(error, str):
        return error
    cause = error.exc if isinstance(error, Retry) and error.exc is not None else error
    try:
        return str(cause)
    except Exception as problem:  # noqa: BLE001 - a user's __str__ may raise anything, and must not stop the worker
        return f"(the error's text could not be made: {type(problem).__name__})"
