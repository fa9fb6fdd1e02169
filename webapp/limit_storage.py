"""Counts requests for flask-limiter: in Redis with one round trip each, and in this process while Redis is away.

flask-limiter's own fallback answers 500 to the second of two requests that meet a dead Redis at the same time, and
asks Redis three questions for each request (count, then value and expiry for the headers). Here the first answer
holds all three and is remembered for the thread that asked, and no call raises because of Redis.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, cast

from limits.storage import MemoryStorage
from limits.storage.redis import RedisStorage
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = logging.getLogger(__name__)

SCHEME_PREFIX = "steady+"
TIMEOUT_S = 0.1
PAUSE_S = 2.0
_AHEAD_S = 0.05
_AHEAD_LIMIT = 10_000
_COUNT = """
local count = redis.call('INCRBY', KEYS[1], ARGV[2])
if count == tonumber(ARGV[2]) then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""


class _Ahead:
    """A window that this process counts ahead of Redis."""

    __slots__ = ("asked_at", "count", "ends_at", "pending")

    def __init__(self, count: int, ends_at: float, asked_at: float) -> None:
        self.count = count
        self.ends_at = ends_at
        self.asked_at = asked_at
        self.pending = 0


class SteadyStorage(RedisStorage):
    """Fixed windows in Redis. When it does not answer within ``TIMEOUT_S``, memory serves for ``PAUSE_S``; then one
    thread tries Redis again while the others stay with memory."""

    STORAGE_SCHEME = [f"{SCHEME_PREFIX}redis", f"{SCHEME_PREFIX}rediss"]  # noqa: RUF012  # as limits declares it

    def __init__(self, uri: str, **options: Any) -> None:
        super().__init__(
            uri.removeprefix(SCHEME_PREFIX),
            socket_connect_timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            retry=cast(Any, Retry(NoBackoff(), 0)),
            key_prefix="omninode:limits",
            **options,
        )
        self._count = self.storage.register_script(_COUNT)
        self._memory = MemoryStorage()
        self._last = threading.local()
        self._turn = threading.Lock()
        self._away = False
        self._try_at = 0.0
        self._ahead: dict[str, _Ahead] = {}
        self._counting = threading.Lock()

    def count_ahead(self, key: str, expiry: int) -> tuple[int, float]:
        """Adds one to the window ``key``; returns its count and when it ends (Unix time).

        Asks Redis at most every 50 ms and counts in this process between: what other processes counted in these
        50 ms is not in the answer yet, and nothing is forgotten.
        """
        now = time.time()
        with self._counting:
            window = self._ahead.get(key)
            if window is not None and window.ends_at <= now:
                window = None
            if window is not None and now - window.asked_at < _AHEAD_S:
                window.count += 1
                window.pending += 1
                return window.count, window.ends_at
            amount = 1
            if window is not None:
                amount += window.pending
                window.count += 1
                window.pending, window.asked_at = 0, now
        count = self.incr(key, expiry, amount)
        ends_at = self.get_expiry(key)
        with self._counting:
            meanwhile = window.pending if window is not None else 0
            if len(self._ahead) > _AHEAD_LIMIT:
                self._ahead = {name: kept for name, kept in self._ahead.items() if kept.ends_at > now}
            fresh = self._ahead[key] = _Ahead(count + meanwhile, ends_at, now)
            fresh.pending = meanwhile
        return count, ends_at

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Adds ``amount`` to the window ``key``, which lives ``expiry`` seconds from its first count."""
        answer = self._in_redis(key, expiry, amount) if self._may_try() else None
        if answer is None:
            answer = (self._memory.incr(key, expiry, amount), self._memory.get_expiry(key))
        self._last.window = (key, *answer)
        return answer[0]

    def get(self, key: str) -> int:
        """The count of the window ``key`` as this thread last saw it, else 0."""
        window = getattr(self._last, "window", None)
        return int(window[1]) if window and window[0] == key else 0

    def get_expiry(self, key: str) -> float:
        """When the window ``key`` ends (Unix time) as this thread last saw it, else now."""
        window = getattr(self._last, "window", None)
        return float(window[2]) if window and window[0] == key else time.time()

    def check(self) -> bool:
        """True: counting always works."""
        return True

    def _may_try(self) -> bool:
        if not self._away:
            return True
        with self._turn:
            if time.monotonic() < self._try_at:
                return False
            self._try_at = time.monotonic() + PAUSE_S
            return True

    def _in_redis(self, key: str, expiry: int, amount: int) -> tuple[int, float] | None:
        try:
            count, left_ms = self._count([self.prefixed_key(key)], [expiry, amount])
        except RedisError as problem:
            with self._turn:
                was_away, self._away = self._away, True
                self._try_at = time.monotonic() + PAUSE_S
            if not was_away:
                log.warning("limits-counted-in-memory", extra={"error": type(problem).__name__})
            return None
        if self._away:
            self._away = False
            log.info("limits-counted-in-redis")
        return int(count), time.time() + max(0, int(left_ms)) / 1000
