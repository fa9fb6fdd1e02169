"""Tells long-running tasks that their worker has been asked to stop.

Celery tells only the worker's main process. ``prepare`` makes one byte of anonymous shared memory before the pool
forks; ``request`` sets it, and every pool child sees it without a system call.
"""

from __future__ import annotations

import mmap
import time
from typing import Protocol

_CHECK_EVERY_S = 0.05
_flag: list[mmap.mmap] = []


class Stop(Protocol):
    """Tells a loop to end; this module is one."""

    def requested(self) -> bool:
        """Whether to end now."""

    def wait(self, seconds: float) -> bool:
        """Sleeps for ``seconds``, or until the end is requested; returns ``requested()``."""


def prepare() -> None:
    """Makes the flag, cleared. To be called in the worker's main process before it forks its pool."""
    _flag[:] = [mmap.mmap(-1, 1)]


def request() -> None:
    """Sets the flag for this process and all that were forked after ``prepare``. Safe in a signal handler."""
    if not _flag:
        prepare()
    _flag[0][0] = 1


def requested() -> bool:
    """Whether this worker is shutting down; False in a process that is no worker."""
    return bool(_flag) and _flag[0][0] == 1


def wait(seconds: float) -> bool:
    """Waits until the shutdown is requested, at most ``seconds``; returns ``requested()``."""
    deadline = time.monotonic() + seconds
    while not requested():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, _CHECK_EVERY_S))
    return True
