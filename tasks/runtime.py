"""What a process needs to work: settings, database and Redis.

Each is made when first used, and made anew after a fork.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.db.pool import Database
from tasks.settings import Settings

_REDIS_CONNECT_TIMEOUT_S = 0.5
_REDIS_TIMEOUT_S = 5.0


class Closing(Protocol):
    """What holds connections until it is closed."""

    def close(self) -> None:
        """Closes them; a later use opens new ones."""


class Hints(Protocol):
    """How a process tells workers that rows wait: may fail, never raises because of Redis, and never decides
    anything."""

    def send(self, task_name: str, args: Sequence[Any], queue: str) -> bool:
        """Publishes a message; whether Redis took it."""

    def nudge(self, job: str, *others: str) -> bool:
        """Wakes who listens for ``job`` and for ``others``; whether anybody does for ``job``."""


T = TypeVar("T", bound=Closing)


class Runtime:
    """One for each Celery app, as ``app.bridge``. ``role`` names the process in logs and in PostgreSQL; ``hints`` are
    the app's, and None where there is no app: then sweepers find what waits."""

    def __init__(self, settings: Settings, role: str, hints: Hints | None = None) -> None:
        self.settings = settings
        self.role = role
        self.hints = hints
        self.db = Database(settings, role)
        self._redis: redis.Redis | None = None
        self._redis_pid = 0
        self._kept: dict[Any, Closing] = {}
        self._kept_pid = 0
        self._keeping = threading.RLock()

    def kept(self, make: Callable[[Runtime], T]) -> T:
        """What ``make`` makes of this runtime: made once in each process, and closed with the runtime."""
        with self._keeping:
            if self._kept_pid != os.getpid():
                self._kept_pid = os.getpid()
                self._kept = {}
            if make not in self._kept:
                self._kept[make] = make(self)
            return cast(T, self._kept[make])

    def redis(self) -> redis.Redis:
        """This process's Redis client; each call on it ends within 5 s, and connects within 0.5 s."""
        if self._redis is None or self._redis_pid != os.getpid():
            self._redis_pid = os.getpid()
            self._redis = redis.Redis.from_url(
                self.settings.redis_url,
                socket_connect_timeout=_REDIS_CONNECT_TIMEOUT_S,
                socket_timeout=_REDIS_TIMEOUT_S,
                health_check_interval=30,
                retry=Retry(NoBackoff(), 1),
            )
        return self._redis

    def close(self) -> None:
        """Closes this process's connections; a later use opens new ones."""
        self.db.close()
        if self._kept_pid == os.getpid():
            for one in self._kept.values():
                one.close()
        self._kept = {}
        if self._redis is not None and self._redis_pid == os.getpid():
            self._redis.close()
        self._redis = None


def runtime_of(app: Any) -> Runtime:
    """The runtime that ``create_celery`` put on a Celery app."""
    runtime = app.bridge
    if not isinstance(runtime, Runtime):
        raise TypeError("this Celery app was not made by tasks.queue.app.create_celery")
    return runtime
