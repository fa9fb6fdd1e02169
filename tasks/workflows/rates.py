"""Limits how often steps of a kind are begun, over all workers: ``WORKFLOW_RATE_LIMITS``, counted in Redis.

In any window of the length that the rate names (a second, a minute, …) at most so many attempts begin.
"""

from __future__ import annotations

import logging
import random
import threading
import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from tasks.runtime import Runtime

log = logging.getLogger(__name__)

_PREFIX = "omninode:workflow-rates"
_PAUSE_S = 2.0
_LEAST_S = 0.02
_MOST_S = 60.0


class RateLimits:
    """The limits of one process's runtime; make it with ``rates_of``.

    While Redis is away each process counts by itself, in memory. Letting everything through would send what waits
    at once to a service that asked for a limit, and letting nothing through would stop steps that could run; so the
    rate is exceeded at most by the number of processes. Redis is asked again every two seconds.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._limits = {kind: parse(rate) for kind, rate in runtime.settings.workflow_rate_limits}
        self._runtime = runtime
        self._shared: MovingWindowRateLimiter | None = None
        self._alone: MovingWindowRateLimiter | None = None
        self._away_until = 0.0
        self._making = threading.Lock()

    def is_limited(self, kind: str) -> bool:
        """Whether there is a limit on the kind at all."""
        return kind in self._limits

    def acquire(self, kind: str) -> float:
        """0 where an attempt at a step of this kind may begin now; then it is counted. Else the seconds after which
        to ask again: about a minute at most, with a little chance in it, so that those who wait do not come back all
        at once."""
        limit = self._limits.get(kind)
        if limit is None:
            return 0.0
        if time.monotonic() >= self._away_until:
            try:
                wait_s = self._ask(self._in_redis(), limit, kind)
            except RedisError as problem:
                self._away_until = time.monotonic() + _PAUSE_S
                log.warning("workflow-rates-counted-in-memory", extra={"error": type(problem).__name__})
            else:
                return wait_s
        return self._ask(self._in_memory(), limit, kind)

    def close(self) -> None:
        """Stops what counts in memory; the connections to Redis are the runtime's."""
        self._shared = self._alone = None

    def _ask(self, counter: MovingWindowRateLimiter, limit: RateLimitItem, kind: str) -> float:
        if counter.hit(limit, kind):
            return 0.0
        left_s = counter.get_window_stats(limit, kind).reset_time - time.time()
        # Of those that wait only some get through when the window has room: they spread over what a turn takes.
        turn_s = min(_MOST_S / 6, limit.get_expiry() / limit.amount)
        chance = random.random()  # noqa: S311 - a delay, no secret
        return min(_MOST_S, max(_LEAST_S, left_s)) + turn_s * chance

    def _in_redis(self) -> MovingWindowRateLimiter:
        with self._making:
            if self._shared is None:
                storage = RedisStorage(
                    self._runtime.settings.redis_url,
                    connection_pool=self._runtime.redis().connection_pool,
                    key_prefix=_PREFIX,
                )
                self._shared = MovingWindowRateLimiter(storage)
            return self._shared

    def _in_memory(self) -> MovingWindowRateLimiter:
        # Made late, since it starts a thread.
        with self._making:
            if self._alone is None:
                self._alone = MovingWindowRateLimiter(MemoryStorage())
            return self._alone


def rates_of(runtime: Runtime) -> RateLimits:
    """The rate limits of this process."""
    return runtime.kept(RateLimits)
