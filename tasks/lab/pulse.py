"""Keeps leases alive while their work goes on: one thread for each process, which ends when nothing is held.

A lease that a dead process held runs out by itself; that is what makes it a lease.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

Renew = Callable[[], object]


class Pulse:
    """Calls what it was given every ``interval_s``, until told to stop. Made anew after a fork."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._held: dict[object, Renew] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def keeps(self, renew: Renew) -> Iterator[None]:
        """Renews for the length of the block. What ``renew`` raises is logged, and it is called again."""
        key = object()
        with self._lock:
            if self._pid != os.getpid():
                self._begin()
            self._held[key] = renew
            if self._thread is None:
                self._wake.clear()
                self._thread = threading.Thread(target=self._beat, name="lab-pulse", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(key, None)
                if not self._held:
                    self._wake.set()

    def _beat(self) -> None:
        while True:
            self._wake.wait(self._interval_s)
            with self._lock:
                if not self._held:
                    self._thread = None
                    return
                # Something new is held since the wish to end.
                self._wake.clear()
                held = list(self._held.values())
            for renew in held:
                try:
                    renew()
                except Exception:
                    log.exception("lease-not-renewed")
