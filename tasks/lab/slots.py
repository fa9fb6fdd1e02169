"""Limits how many calls an endpoint gets at once, over all processes: a semaphore in Redis whose slots are leases.

A sorted set for each endpoint holds the tokens of its calls by the time their leases end. A process that dies leaves
its tokens behind, and they run out; one that lives renews them. The clock is Redis' own. While Redis is away each
process keeps to its share of the limit by itself: some calls may wait that need not, and none is refused for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.ids import new_id
from tasks.lab.model import Endpoint
from tasks.lab.pulse import Pulse

log = logging.getLogger(__name__)

_PREFIX = "omninode:lab:slots:"
_AWAY_S = 2.0
_REDIS_TIMEOUT_S = 0.5
# KEYS: the set. ARGV: token, limit, lease in ms. 1 where the token is in (again).
_TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) or redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[2]) then
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3] * 2)
return 1
end
return 0
"""
# A call that is under way keeps its place, even where Redis forgot it and others came: that is over the limit for a
# while, and breaking the call off would not undo that it was made.
_RENEW = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 2)
"""
_COUNT = """
local t = redis.call('TIME')
return redis.call('ZCOUNT', KEYS[1], '(' .. (t[1] * 1000 + math.floor(t[2] / 1000)), '+inf')
"""


class Slots:
    """The semaphores of all endpoints, as one process sees them. Safe to share between threads."""

    def __init__(self, redis_url: str, lease_s: float, processes: int) -> None:
        """``processes``: how many share a limit while Redis is away."""
        # redis-py's pool notices a fork by itself.
        self._redis = redis.Redis.from_url(
            redis_url,
            socket_connect_timeout=_REDIS_TIMEOUT_S,
            socket_timeout=_REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
        )
        self._lease_ms = max(1, int(lease_s * 1000))
        self._processes = processes
        self._pulse = Pulse(lease_s / 3)
        self._lock = threading.Lock()
        self._mine: defaultdict[str, int] = defaultdict(int)
        self._away_until = 0.0

    @contextmanager
    def one(self, endpoint: Endpoint) -> Iterator[bool]:
        """A slot of ``endpoint`` for the block, or False where it has none free."""
        token = str(new_id())
        if not self._take(endpoint, token):
            yield False
            return
        key = _PREFIX + str(endpoint.id)
        try:
            with self._pulse.keeps(lambda: self._renew(key, token)):
                yield True
        finally:
            self._give_back(key, token)

    def in_use(self, endpoint_id: UUID) -> int | None:
        """How many calls are under way; None where Redis does not say, which is asked again only after a while."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return int(self._redis.eval(_COUNT, 1, _PREFIX + str(endpoint_id)))
        except redis.RedisError:
            self._away_until = time.monotonic() + _AWAY_S
            return None

    def _take(self, endpoint: Endpoint, token: str) -> bool:
        key, limit = _PREFIX + str(endpoint.id), endpoint.max_concurrency
        with self._lock:
            # The own count is kept always, so that it is right when Redis goes away.
            share = limit if time.monotonic() >= self._away_until else self._share(limit)
            if self._mine[key] >= share:
                return False
            self._mine[key] += 1
        taken = False
        try:
            taken = self._taken_of_all(key, token, limit)
        finally:
            if not taken:
                self._release_own(key)
        return taken

    def _taken_of_all(self, key: str, token: str, limit: int) -> bool:
        if time.monotonic() < self._away_until:
            return True
        try:
            return bool(self._redis.eval(_TAKE, 1, key, token, limit, self._lease_ms))
        except redis.RedisError as problem:
            self._away_until = time.monotonic() + _AWAY_S
            log.warning("lab-slots-by-process", extra={"error": type(problem).__name__})
            with self._lock:
                return self._mine[key] <= self._share(limit)

    def _share(self, limit: int) -> int:
        return max(1, limit // self._processes)

    def _renew(self, key: str, token: str) -> None:
        try:
            self._redis.eval(_RENEW, 1, key, token, self._lease_ms)
        except redis.RedisError as problem:
            log.warning("lab-slot-not-renewed", extra={"error": type(problem).__name__})

    def _give_back(self, key: str, token: str) -> None:
        self._release_own(key)
        try:
            if time.monotonic() >= self._away_until:
                self._redis.zrem(key, token)
        except redis.RedisError as problem:
            log.warning("lab-slot-not-given-back", extra={"error": type(problem).__name__})

    def _release_own(self, key: str) -> None:
        with self._lock:
            self._mine[key] -= 1
            if not self._mine[key]:
                del self._mine[key]
