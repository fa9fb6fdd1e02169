"""The alarm that ends a block."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress

import pytest

from tasks.timeouts import TimedOut, rearm, time_limit, watchdog


def test_a_block_that_returns_in_time_is_left_alone():
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(5):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_block_that_does_not_return_is_ended():
    with pytest.raises(TimedOut, match=r"within 0\.05 s"), time_limit(0.0499793):
        time.sleep(20)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_swallowing_the_alarm_only_brings_another():
    def swallow_the_first() -> None:
        with time_limit(0.05):
            with suppress(TimedOut):
                time.sleep(20)
            time.sleep(20)

    with pytest.raises(TimedOut):
        swallow_the_first()


def test_outside_the_main_thread_there_is_no_limit_and_no_error():
    ended: list[str] = []

    def block() -> None:
        with time_limit(0.01):
            time.sleep(0.05)
        ended.append("well")

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert ended == ["well"]


def test_the_watchdog_spares_what_is_not_a_pool_child():
    with watchdog():
        rearm(0.01)
        time.sleep(0.1)
