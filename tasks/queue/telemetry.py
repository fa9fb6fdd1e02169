"""Numbers that workers tell about themselves, kept in Redis for a minute: nobody can scrape a worker."""

from __future__ import annotations

import redis

from tasks.runtime import Runtime

_KEY = "omninode:telemetry:"
_LASTS_S = 60


def tell(runtime: Runtime, name: str, value: float) -> None:
    """Says that the number ``name`` is ``value`` now. Never raises: nothing depends on it."""
    try:
        runtime.redis().set(_KEY + name, value, ex=_LASTS_S)
    except redis.RedisError:
        return


def told(client: redis.Redis, name: str) -> float | None:
    """What was last told of ``name`` within a minute; None where nothing was.

    Raises:
        redis.RedisError: Redis did not answer.
    """
    value = client.get(_KEY + name)
    return None if value is None else float(value)
