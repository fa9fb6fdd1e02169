"""Asks each dependency how it is, within a fixed time, however badly it hangs.

A check runs in a thread of its own and at most one for each dependency is under way: a dependency that hangs costs
one thread, not one for each caller. An answer serves every caller of the same half second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
TIMEOUT_S = 1.5
_FRESH_S = 0.5


@dataclass(frozen=True)
class Verdict:
    """How a dependency is. ``detail`` is fit for anyone's eyes."""

    status: str
    detail: str | None = None


@dataclass(frozen=True)
class Reading:
    """A verdict and how long it took to get."""

    status: str
    latency_ms: float
    detail: str | None


class Probe:
    """One dependency. ``check`` returns a verdict or raises; any exception means unhealthy."""

    def __init__(self, name: str, check: Callable[[], Verdict]) -> None:
        self._check = check
        self._name = name
        self._lock = threading.Lock()
        self._running: Future[Reading] | None = None
        self._ended_at = 0.0

    def start(self) -> Future[Reading]:
        """The check under way, or the last one while it is fresh, or a new one."""
        with self._lock:
            fresh = time.monotonic() - self._ended_at < _FRESH_S
            if self._running is None or (self._running.done() and not fresh):
                self._running = Future()
                # A daemon: one that hangs must not hold up the end of the process.
                thread = threading.Thread(target=self._run, args=(self._running,), name=self._name, daemon=True)
                thread.start()
            return self._running

    def _run(self, answer: Future[Reading]) -> None:
        started = time.perf_counter()
        try:
            verdict = self._check()
        except Exception as problem:  # noqa: BLE001  # whatever goes wrong is the finding
            verdict = Verdict(UNHEALTHY, type(problem).__name__)
        self._ended_at = time.monotonic()
        answer.set_result(Reading(verdict.status, _ms_since(started), verdict.detail))


def read_all(probes: Mapping[str, Probe], timeout_s: float = TIMEOUT_S) -> dict[str, Reading]:
    """What every probe says; one that does not answer within ``timeout_s`` of the start is unhealthy."""
    started = time.perf_counter()
    running = {name: probe.start() for name, probe in probes.items()}
    readings = {}
    for name, future in running.items():
        left_s = max(0.0, timeout_s - (time.perf_counter() - started))
        try:
            readings[name] = future.result(left_s)
        except FutureTimeout:
            readings[name] = Reading(UNHEALTHY, _ms_since(started), f"no answer within {timeout_s} s")
    return readings


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
