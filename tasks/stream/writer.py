"""Writes transitions to the Redis stream, in one round trip for all that wait, and never fails its caller.

While Redis is away they wait in a bounded buffer; the oldest are dropped, and counted, when it is full. The stream
itself is trimmed to about ``STREAM_MAX_ENTRIES`` entries: a guard for the memory of Redis when nobody drains it.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.settings import Settings
from tasks.stream.transition import STREAM

log = logging.getLogger(__name__)

_BUFFER_LIMIT = 10_000
_SWIFT_S = 0.2
_PATIENT_S = 1.0
_FLUSH_AFTER_S = 0.05
_LONGEST_PAUSE_S = 5.0

Later = Callable[[float, Callable[[], object]], object]


class StreamWriter:
    """The writer of one app in this process: fork-safe and thread-safe. Every method returns within about 1 s."""

    def __init__(self, settings: Settings, stream: str = STREAM) -> None:
        self._settings = settings
        self._stream = stream
        self._timeout_s = _SWIFT_S
        self._later: Later | None = None
        self._begin()

    @property
    def waiting(self) -> int:
        """How many transitions are not written yet."""
        return len(self._buffer)

    def become_patient(self, later: Later) -> None:
        """For the main process of a worker: waits longer for Redis, and writes by itself what nobody flushes.

        ``later(seconds, function)`` calls a function after a while, as a Celery consumer's timer does.
        """
        if self._later is None:
            self._timeout_s = _PATIENT_S
            self._disconnect()
        self._later = later

    def add(self, entry: dict[str, Any]) -> None:
        """Puts ``entry`` in the buffer. It is written with the next ``flush``; soon by itself in a worker."""
        if self._pid != os.getpid():
            self._timeout_s = _SWIFT_S
            self._begin()
        with self._lock:
            if len(self._buffer) >= _BUFFER_LIMIT:
                self._buffer.popleft()
                self._dropped += 1
            self._buffer.append(entry)
        self._flush_later(_FLUSH_AFTER_S)

    def write(self, entry: dict[str, Any]) -> bool:
        """Adds ``entry`` and writes all that waits, now; False when Redis did not take it (it is kept)."""
        self.add(entry)
        return self.flush()

    def flush(self) -> bool:
        """Writes all that waits, in order. False when Redis did not take it in time, or failed a moment ago."""
        if not self._buffer or self._pid != os.getpid():
            return True
        with self._io:
            if time.monotonic() < self._resume_at:
                return False
            with self._lock:
                batch = list(self._buffer)
                self._buffer.clear()
            if not batch:
                return True
            try:
                self._send(batch)
            except (redis.RedisError, OSError) as problem:
                self._put_back(batch, problem)
                return False
            self._succeeded()
            return True

    def close(self) -> None:
        """Writes what waits, if Redis takes it, and closes the connection."""
        self._resume_at = 0.0
        self.flush()
        self._later = None
        self._disconnect()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._io = threading.Lock()
        self._buffer: deque[dict[str, Any]] = deque()
        self._client: redis.Redis | None = None
        self._later = None
        self._flush_is_due = False
        self._resume_at = 0.0
        self._failures = 0
        self._dropped = 0

    def _send(self, batch: list[dict[str, Any]]) -> None:
        if self._client is None:
            self._client = self._connect()
        pipeline = self._client.pipeline(transaction=False)
        for entry in batch:
            pipeline.xadd(
                self._stream, {"e": orjson.dumps(entry)}, maxlen=self._settings.stream_max_entries, approximate=True
            )
        pipeline.execute()

    def _connect(self) -> redis.Redis:
        return redis.Redis.from_url(
            self._settings.redis_url,
            socket_connect_timeout=self._timeout_s,
            socket_timeout=self._timeout_s,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=False,
        )

    def _put_back(self, batch: list[dict[str, Any]], problem: Exception) -> None:
        for entry in batch:
            # It may have been written all the same: whoever reads it looks whether it was seen before.
            entry["again"] = True
        with self._lock:
            room = _BUFFER_LIMIT - len(self._buffer)
            self._dropped += max(0, len(batch) - room)
            self._buffer.extendleft(reversed(batch[-room:] if room > 0 else []))
        self._failures += 1
        pause_s = min(_LONGEST_PAUSE_S, 2.0 ** (self._failures - 1)) * random.uniform(0.75, 1.0)  # noqa: S311 - jitter
        self._resume_at = time.monotonic() + pause_s
        if self._failures == 1:
            log.warning("task-states-waiting", extra={"waiting": len(self._buffer), "error": repr(problem)})
        self._disconnect()
        self._flush_later(pause_s)

    def _succeeded(self) -> None:
        if self._failures:
            log.info("task-states-written-again", extra={"dropped": self._dropped})
        elif self._dropped:
            log.warning("task-states-dropped", extra={"dropped": self._dropped})
        self._failures = self._dropped = 0

    def _flush_later(self, seconds: float) -> None:
        if self._later is not None and not self._flush_is_due:
            self._flush_is_due = True
            self._later(seconds, self._due)

    def _due(self) -> None:
        self._flush_is_due = False
        if self._buffer and not self.flush() and self._later is not None:
            self._flush_later(max(_FLUSH_AFTER_S, self._resume_at - time.monotonic()))

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
