"""Ends code that does not return: an alarm that raises inside it, and behind that a watchdog that ends the process.

The alarm is the kernel's timer (setitimer(2)); Python heeds it between two of its instructions. Code that never
comes back to Python (a regular expression gone wild, a library's loop) is left to the watchdog, a thread of the
standard library's faulthandler that needs no Python to work: it writes every thread's traceback and exits.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import billiard


class TimedOut(Exception):
    """The block did not return in time."""


def _is_interruptible() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises ``TimedOut`` inside the block when it runs for longer; again every second, should that be swallowed.

    Works in the main thread, where Celery's pool runs tasks; elsewhere the block has no limit. Not to be nested.
    """
    if not _is_interruptible():
        yield
        return

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TimedOut(f"It did not return within {round(seconds, 2):g} s.")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def watchdog() -> Iterator[None]:
    """Lets ``rearm`` work inside the block, and nothing end the process after it."""
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def rearm(seconds: float) -> None:
    """Ends this process, if it is a child of a worker's pool, unless called again within ``seconds``.

    To the worker it is a process that died: what it held is delivered again, a capped number of times.
    """
    if billiard.current_process().name != "MainProcess" and sys.__stderr__ is not None:
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)
