"""Keeps leases: a thread renews what this process holds, and interrupts the work whose lease was lost.

The thread lives in the process that works. Where that is stopped, or dies, nothing is renewed any more, and when the
lease ends the clock gives the work to another.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tasks.db.pool import Database, Transaction
from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.runtime import Runtime

log = logging.getLogger(__name__)

_RENEW_SHARE = 0.3
_IDLE_ROUNDS = 20
_AT_ONCE_S = 0.001

# Renews the rows of one lease; returns how many of them are still held.
Renew = Callable[[Transaction], int]


class Lease:
    """What is held, from ``Leases.hold``. ``lost`` turns true where a renewal found that it is held no more."""

    def __init__(self, renew: Renew, now: float) -> None:
        self.renew = renew
        self.renewed_at = now
        self.lost = False


class Leases:
    """The leases of one process; made by ``Runtime.kept``."""

    def __init__(self, runtime: Runtime) -> None:
        self._db: Database = runtime.db
        self._every_s = runtime.settings.workflow_lease_s * _RENEW_SHARE
        self._lock = threading.Lock()
        self._held: set[Lease] = set()
        self._interruptible: Lease | None = None
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        if threading.current_thread() is threading.main_thread():
            # What the thread sends may come a moment late: then it must not end the process.
            signal.signal(signal.SIGALRM, _ignore)

    @contextmanager
    def hold(self, renew: Renew) -> Iterator[Lease]:
        """Renews within the block, as long as there is something to be renewed."""
        lease = Lease(renew, time.monotonic())
        with self._lock:
            self._held.add(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="workflow-leases", daemon=True)
                self._thread.start()
        if not self._wake.is_set():
            self._wake.set()
        try:
            yield lease
        finally:
            with self._lock:
                self._held.discard(lease)

    @contextmanager
    def interruptible(self, lease: Lease) -> Iterator[None]:
        """Within the block, which must be inside a ``timeouts.time_limit``, the loss of the lease ends that limit.
        Only the main thread can be interrupted; elsewhere the work itself looks at ``lease.lost``."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._interruptible = lease
        try:
            yield
        finally:
            with self._lock:
                self._interruptible = None

    def close(self) -> None:
        """Stops the thread."""
        self._closed = True
        self._wake.set()

    def _run(self) -> None:
        idle = 0
        while not self._closed:
            time.sleep(self._every_s / 2)
            now = time.monotonic()
            with self._lock:
                old = [lease for lease in self._held if now - lease.renewed_at >= self._every_s / 2]
                idle = 0 if self._held else idle + 1
            for lease in old:
                self._renew(lease)
            if idle > _IDLE_ROUNDS:
                self._wake.clear()
                self._wake.wait()
                idle = 0

    def _renew(self, lease: Lease) -> None:
        try:
            with self._db.transaction() as tx:
                count = lease.renew(tx)
        except (DatabaseUnavailable, DatabaseBusy) as problem:
            log.warning("lease-not-renewed", extra={"error": type(problem).__name__})
            return
        except Exception:
            log.exception("lease-not-renewed")
            return
        lease.renewed_at = time.monotonic()
        if count:
            return
        with self._lock:
            if lease in self._held and not lease.lost:
                lease.lost = True
                if self._interruptible is lease:
                    signal.setitimer(signal.ITIMER_REAL, _AT_ONCE_S, 1.0)


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    return
