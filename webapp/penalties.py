"""Slows down addresses whose logins fail: after 3 in 5 minutes to half of each limit, after 5 in 15 to a quarter.

A penalty lasts a day. Failures and penalties are kept in Redis, for all processes; each process looks at the
penalties every two seconds, so that a request costs no round trip. While Redis is away a process counts for itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import cast

import redis

from tasks.ids import new_id

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 2.0
_LONG_S, _LONG_FAILURES, _LONG_DIVISOR = 900, 5, 4
_SHORT_S, _SHORT_FAILURES, _SHORT_DIVISOR = 300, 3, 2
LASTS_S = 86_400
_ADDRESSES = 10_000
_PREFIX = "omninode:logins:"
PENALTIES = _PREFIX + "penalties"
# KEYS: this address's failures, the penalties. ARGV: now, a unique name, the address. Answers the divisor. Of the
# failures only as many are kept as decide; of the penalties those that end last. A penalty grows, and never shrinks.
_FAIL = f"""
local now = tonumber(ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - {_LONG_S})
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -{_LONG_FAILURES + 1})
redis.call('EXPIRE', KEYS[1], {_LONG_S})
local divisor = 1
if redis.call('ZCOUNT', KEYS[1], now - {_SHORT_S}, '+inf') >= {_SHORT_FAILURES} then divisor = {_SHORT_DIVISOR} end
if redis.call('ZCARD', KEYS[1]) >= {_LONG_FAILURES} then divisor = {_LONG_DIVISOR} end
if divisor > 1 then
redis.call('ZADD', KEYS[2], now + {LASTS_S}, divisor .. ' ' .. ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -{_ADDRESSES + 1})
redis.call('EXPIRE', KEYS[2], {LASTS_S})
end
return divisor
"""


class Penalties:
    """Whose limits are divided by how much, as this process knows it."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._divisors: dict[str, int] = {}
        self._own_failures: dict[str, deque[float]] = {}
        self._looked_at = float("-inf")
        self._looking = threading.Lock()

    def divisor(self, address: str) -> int:
        """What the limits of ``address`` are divided by now: 1, 2 or 4. Never raises."""
        if time.monotonic() - self._looked_at > _LOOK_EVERY_S and self._looking.acquire(blocking=False):
            try:
                self._looked_at = time.monotonic()
                self._divisors = read(self._redis)
            except redis.RedisError as problem:
                log.warning("penalties-not-read", extra={"error": type(problem).__name__})
            finally:
                self._looking.release()
        return self._divisors.get(address, 1)

    def login_failed(self, address: str) -> None:
        """Counts a failed login. Never raises."""
        keys = [f"{_PREFIX}failures:{address}", PENALTIES]
        try:
            answer = self._redis.eval(_FAIL, len(keys), *keys, str(time.time()), str(new_id()), address)
            divisor = int(cast(int, answer))
        except redis.RedisError:
            divisor = self._counted_here(address)
        if divisor > self._divisors.get(address, 1):
            log.warning("address-slowed-down", extra={"address": address, "divisor": divisor})
            self._divisors = {**self._divisors, address: divisor}

    def _counted_here(self, address: str) -> int:
        if len(self._own_failures) >= _ADDRESSES:
            self._own_failures.clear()
        failures = self._own_failures.setdefault(address, deque(maxlen=_LONG_FAILURES))
        now = time.monotonic()
        failures.append(now)
        if sum(now - at < _LONG_S for at in failures) >= _LONG_FAILURES:
            return _LONG_DIVISOR
        return _SHORT_DIVISOR if sum(now - at < _SHORT_S for at in failures) >= _SHORT_FAILURES else 1


def read(client: redis.Redis) -> dict[str, int]:
    """The addresses that are slowed down now, and their divisors. Raises redis.RedisError."""
    found: dict[str, int] = {}
    members = cast("list[bytes]", client.zrangebyscore(PENALTIES, time.time(), "+inf"))
    for member in members:
        divisor, _, address = member.decode().partition(" ")
        found[address] = max(int(divisor), found.get(address, 1))
    return found


def lift(client: redis.Redis, address: str) -> bool:
    """Ends the penalty of ``address``, and forgets its failures; False where it had none. Raises redis.RedisError."""
    members = [f"{divisor} {address}" for divisor in (_SHORT_DIVISOR, _LONG_DIVISOR)]
    client.delete(f"{_PREFIX}failures:{address}")
    return bool(client.zrem(PENALTIES, *members))
