"""Probes answer in time, whatever their dependency does, and never pile up."""

from __future__ import annotations

import threading
import time

from webapp.health.probes import DEGRADED, HEALTHY, UNHEALTHY, Probe, Verdict, read_all


def test_each_tells_its_own_verdict() -> None:
    def broken() -> Verdict:
        raise OSError("secret host name")

    readings = read_all(
        {
            "good": Probe("good", lambda: Verdict(HEALTHY)),
            "slow": Probe("slow", lambda: Verdict(DEGRADED, "late")),
            "broken": Probe("broken", broken),
        }
    )
    assert {name: reading.status for name, reading in readings.items()} == {
        "good": HEALTHY,
        "slow": DEGRADED,
        "broken": UNHEALTHY,
    }
    assert readings["slow"].detail == "late"
    assert readings["broken"].detail == "OSError"


def test_one_that_hangs_costs_one_thread_and_no_more_than_the_timeout() -> None:
    release = threading.Event()
    calls = []

    def hang() -> Verdict:
        calls.append(1)
        release.wait(10)
        return Verdict(HEALTHY)

    probes = {"hung": Probe("hung", hang), "good": Probe("good", lambda: Verdict(HEALTHY))}
    started = time.monotonic()
    for _ in range(3):
        readings = read_all(probes, timeout_s=0.05)
        assert readings["hung"].status == UNHEALTHY
        assert readings["good"].status == HEALTHY
    assert time.monotonic() - started < 1.0
    assert len(calls) == 1
    release.set()
    assert read_all(probes, timeout_s=5)["hung"].status == HEALTHY


def test_callers_of_the_same_moment_share_one_check() -> None:
    calls = []

    def check() -> Verdict:
        calls.append(1)
        return Verdict(HEALTHY)

    probe = Probe("shared", check)
    for _ in range(10):
        read_all({"shared": probe})
    assert len(calls) == 1
