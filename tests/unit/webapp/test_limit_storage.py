"""Counting without Redis: at once, by one thread at a time, and with the answers that flask-limiter asks for."""

from __future__ import annotations

import socket
import time

from limits import parse
from limits.strategies import FixedWindowRateLimiter

from webapp.limit_storage import SCHEME_PREFIX, SteadyStorage


def storage_without_redis() -> SteadyStorage:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return SteadyStorage(f"{SCHEME_PREFIX}redis://127.0.0.1:{port}/0")


def test_memory_counts_and_remembers_the_window() -> None:
    limiter, item = FixedWindowRateLimiter(storage_without_redis()), parse("3 per minute")
    assert [limiter.hit(item, "key") for _ in range(4)] == [True, True, True, False]
    assert limiter.hit(item, "another")
    assert limiter.hit(item, "key") is False
    window = limiter.get_window_stats(item, "key")
    assert window.remaining == 0
    assert 0 < window.reset_time - time.time() <= 60


def test_an_unknown_window_is_empty() -> None:
    storage = storage_without_redis()
    assert storage.get("nothing") == 0
    assert storage.check()


def test_redis_is_not_asked_again_at_once() -> None:
    with socket.socket() as hanging:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen(64)
        storage = SteadyStorage(f"{SCHEME_PREFIX}redis://127.0.0.1:{hanging.getsockname()[1]}/0")
        started = time.monotonic()
        for _ in range(50):
            storage.incr("key", 60)
        assert time.monotonic() - started < 0.5
        assert storage.get("key") == 50


def test_counting_ahead_forgets_nothing_and_asks_seldom() -> None:
    storage = storage_without_redis()
    asked: list[int] = []
    count = storage.incr

    def counted(key: str, expiry: int, amount: int = 1) -> int:
        asked.append(amount)
        return count(key, expiry, amount)

    storage.incr = counted  # type: ignore[method-assign]
    counts = []
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        counts.append(storage.count_ahead("key", 60)[0])
    assert counts == list(range(1, len(counts) + 1))
    assert len(asked) <= 12
    assert sum(asked) + storage._ahead["key"].pending == len(counts)


def test_a_window_that_is_over_begins_anew() -> None:
    storage = storage_without_redis()
    assert [storage.count_ahead("key", 60)[0] for _ in range(3)] == [1, 2, 3]
    storage._ahead["key"].ends_at = time.time() - 1
    storage._memory.reset()
    assert storage.count_ahead("key", 60)[0] == 1
