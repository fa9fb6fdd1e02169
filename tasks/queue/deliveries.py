"""Counts how often a task's message was delivered, so that a task that kills its process is not run for ever.

Only messages that come a second time are counted, in Redis, with an expiry; the first delivery costs nothing.
"""

from __future__ import annotations

import logging
from typing import cast

import redis

from tasks.runtime import Runtime

log = logging.getLogger(__name__)

_KEPT_S = 86_400


class Deliveries:
    """The count of one attempt of one task. Where Redis does not answer, the count is taken to be low."""

    def __init__(self, runtime: Runtime, task_id: str, attempt: int) -> None:
        self._runtime = runtime
        self._key = f"omninode:deliveries:{task_id}:{attempt}"

    def so_far(self) -> int:
        """How many deliveries began to run, when the next is about to come: at least 1."""
        try:
            again = cast("bytes | None", self._runtime.redis().get(self._key))
        except redis.RedisError as problem:
            log.warning("deliveries-not-read", extra={"key": self._key, "error": repr(problem)})
            return 1
        return 1 + int(again or 0)

    def began_again(self) -> int:
        """Counts a redelivery that begins to run, and returns how many deliveries that makes: at least 2."""
        try:
            pipeline = self._runtime.redis().pipeline(transaction=True)
            pipeline.incr(self._key)
            pipeline.expire(self._key, _KEPT_S)
            return 1 + int(pipeline.execute()[0])
        except redis.RedisError as problem:
            log.warning("delivery-not-counted", extra={"key": self._key, "error": repr(problem)})
            return 2

    def forget(self) -> None:
        """Starts the count anew: the task itself asked to be delivered again."""
        try:
            self._runtime.redis().delete(self._key)
        except redis.RedisError as problem:
            log.warning("deliveries-not-forgotten", extra={"key": self._key, "error": repr(problem)})
