"""Rate limits of kinds: one count for all processes, and none is free while Redis is away."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from tasks.runtime import Runtime
from tasks.settings import Settings
from tasks.workflows.rates import rates_of


@pytest.fixture
def runtimes(settings: Settings) -> Iterator[list[Runtime]]:
    """Two processes' runtimes, with rates."""
    limited = dataclasses.replace(settings, workflow_rate_limits=(("http", "3/minute"), ("ai", "2/second")))
    made = [Runtime(limited, "one"), Runtime(limited, "two")]
    yield made
    for runtime in made:
        runtime.close()


def test_all_processes_share_one_rate(runtimes: list[Runtime]) -> None:
    one, two = (rates_of(runtime) for runtime in runtimes)
    assert rates_of(runtimes[0]) is one
    assert [one.acquire("http"), two.acquire("http"), one.acquire("http")] == [0.0, 0.0, 0.0]
    waits = [one.acquire("http"), two.acquire("http")]
    assert all(0 < wait_s <= 70 for wait_s in waits)
    assert waits[0] != waits[1], "who waits does not come back all at once"


def test_other_kinds_are_not_limited(runtimes: list[Runtime]) -> None:
    rates = rates_of(runtimes[0])
    assert [rates.is_limited(kind) for kind in ("http", "ai", "task")] == [True, True, False]
    assert [rates.acquire("task") for _ in range(50)] == [0.0] * 50


def test_the_wait_is_until_the_window_has_room(runtimes: list[Runtime]) -> None:
    rates = rates_of(runtimes[0])
    waits = [rates.acquire("ai") for _ in range(3)]
    assert waits[:2] == [0.0, 0.0]
    assert 0 < waits[2] <= 1.5


def test_without_redis_each_process_counts_by_itself(runtimes: list[Runtime]) -> None:
    away = dataclasses.replace(runtimes[0].settings, redis_url="redis://127.0.0.1:1/0")
    runtime = Runtime(away, "alone")
    rates = rates_of(runtime)
    assert [rates.acquire("http") == 0.0 for _ in range(5)] == [True, True, True, False, False]
    runtime.close()
