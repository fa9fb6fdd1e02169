"""Carries hints from a thread of its own, so that a request neither waits for Redis nor pays for a message.

Any number of wishes within 20 milliseconds become one nudge, or one message where nobody listens. A wish that a
dying process takes along is one more lost hint: the sweeper finds the rows.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from tasks.queue.nudges import JOURNAL
from tasks.runtime import Hints

log = logging.getLogger(__name__)

# As long as a worker gathers (tasks.hooks.shift): under load it looks by itself as often, and a nudge costs a quarter
# of a millisecond. The first after a pause goes out at once.
_GATHER_S = 0.02
_MESSAGE_EVERY_S = 0.1


class Courier:
    """Sends the hints of one job, for one process; made anew after a fork."""

    def __init__(self, hints: Hints, job: str, queue: str) -> None:
        self._sender = hints
        self._job = job
        self._queue = queue
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._pid = 0
        self._sent_at = float("-inf")

    def wish(self) -> None:
        """Sees to it that the job looks at its rows soon. Returns at once and never raises."""
        if self._pid != os.getpid():
            self._start()
        self._wanted.set()

    def _start(self) -> None:
        with self._starting:
            if self._pid == os.getpid():
                return
            self._wanted = threading.Event()
            threading.Thread(target=self._carry, name=f"courier-{self._job}", daemon=True).start()
            self._pid = os.getpid()

    def _carry(self) -> None:
        wanted = self._wanted
        while True:
            wanted.wait()
            wanted.clear()
            try:
                self._deliver()
            except Exception:
                log.exception("hint-failed", extra={"task_name": self._job})
            time.sleep(_GATHER_S)

    def _deliver(self) -> None:
        """Wakes the relay, and a listener, or sends a message. Whom the last called may be on the way to listen."""
        while not self._sender.nudge(self._job, JOURNAL):
            if time.monotonic() - self._sent_at > _MESSAGE_EVERY_S:
                self._sent_at = time.monotonic()
                self._sender.send(self._job, [], self._queue)
                return
            time.sleep(_GATHER_S)
