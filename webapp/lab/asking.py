"""Asks the lab while the client waits: as one answer, or as server-sent events while the model speaks.

A question is asked in a thread of its own where it streams, since the lab tells and a response is asked for its
parts. A client that goes away ends its question within a second.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tasks import correlation
from tasks.errors import BridgeError
from tasks.lab import forms
from tasks.lab.asking import AskRequest, Attempt
from tasks.lab.attempting import Listener, Tried
from tasks.lab.errors import Cancelled, LabBusy
from tasks.lab.service import LabService
from webapp.json_provider import dumps
from webapp.problems import as_item

EVENT_STREAM = "text/event-stream"
_KEEP_ALIVE_S = 10.0
_KEEP_ALIVE = b": keep-alive\n\n"
_QUEUED = 1000


class Waiting:
    """Bounds how many clients wait for a model in one process; more are refused at once."""

    def __init__(self, limit: int) -> None:
        self._places = threading.BoundedSemaphore(limit)

    def take(self) -> None:
        """Takes a place. Raises LabBusy."""
        if not self._places.acquire(blocking=False):
            raise LabBusy("As many clients wait for models here as may; ask later, or with async.")

    def give_back(self) -> None:
        """Gives a place back."""
        self._places.release()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for the block. Raises LabBusy."""
        self.take()
        try:
            yield
        finally:
            self.give_back()


@dataclass
class Stream:
    """One question whose answer streams. ``first`` raises what a response's status can still tell."""

    lab: LabService
    request: AskRequest
    timeout_s: float
    waiting: Waiting
    _events: queue.Queue[tuple[str, Any]] = field(default_factory=lambda: queue.Queue(_QUEUED))
    _gone: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> Iterator[bytes]:
        """The response's parts, once it is known that a model is asked.

        Raises:
            BridgeError: no model could be asked at all.
        """
        self.waiting.take()
        bound = correlation.current()
        threading.Thread(target=self._ask, args=(bound,), name="lab-stream", daemon=True).start()
        name, value = self._events.get()
        if name == "error":
            raise value
        return self._parts(name, value)

    def _parts(self, name: str, value: Any) -> Iterator[bytes]:
        try:
            while True:
                yield _event(name, as_item(value) if isinstance(value, BridgeError) else value)
                if name in ("answer", "error"):
                    return
                while True:
                    try:
                        name, value = self._events.get(timeout=_KEEP_ALIVE_S)
                        break
                    except queue.Empty:
                        yield _KEEP_ALIVE
        finally:
            self._gone.set()

    def _ask(self, bound: str | None) -> None:
        listener = Listener(
            began=self._began,
            text=lambda text: self._tell("text", {"text": text}),
            ended=self._ended,
            cancelled=self._gone.is_set,
        )
        try:
            with correlation.bind(bound):
                answer = self.lab.ask(self.request, self.timeout_s, listener)
            self._tell("answer", forms.shown(answer))
        except Cancelled:
            return
        except BridgeError as problem:
            self._tell("error", problem)
        except Exception as problem:
            self._tell("error", BridgeError("The question failed; the server's log tells more."))
            raise problem
        finally:
            self.waiting.give_back()

    def _began(self, tried: Tried) -> None:
        candidate = tried.candidate
        told = {"model": candidate.model, "endpoint": candidate.endpoint.name, "tier": candidate.tier}
        self._tell("attempt", {"execution_id": str(tried.execution_id), **told})

    def _ended(self, attempt: Attempt) -> None:
        if not attempt.success:
            # What this attempt has said does not count: the next one begins anew.
            self._tell("attempt_failed", forms.attempt_row(attempt))

    def _tell(self, name: str, value: Any) -> None:
        """Raises Cancelled where nobody takes the events any more."""
        while not self._gone.is_set():
            try:
                self._events.put((name, value), timeout=1.0)
            except queue.Full:
                continue
            return
        raise Cancelled


def _event(name: str, value: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + dumps(value) + b"\n\n"
