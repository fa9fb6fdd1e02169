"""Writes transitions to the Redis stream, many in one round trip, and never fails its caller.

Where it can, a transition rides on a command that the broker's connection sends anyway (``riding``); else the
writer sends it over a connection of its own (``flush``). While Redis is away transitions wait in a bounded buffer;
the oldest are dropped, and counted, when it is full. The stream itself is trimmed to about ``STREAM_MAX_ENTRIES``
entries: a guard for the memory of Redis when nobody drains it.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
# One command for many entries: packing a command costs more than adding an entry.
_ADD = """for i = 2, #ARGV do
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'e', ARGV[i])
end"""
_FAILURES = (redis.RedisError, OSError)

Entry = dict[str, Any]
Later = Callable[[float, Callable[[], object]], object]


class Load:
    """Entries that ride on somebody's command."""

    def __init__(self, entries: list[bytes]) -> None:
        self.entries = entries
        self.problem: str | None = None

    def left_behind(self, problem: str) -> None:
        """The command went well, and did not take the entries: they are kept."""
        self.problem = problem


class StreamWriter:
    """The writer of one app in this process: fork-safe and thread-safe. Every method returns within about 1 s."""

    def __init__(self, settings: Settings, stream: str = STREAM) -> None:
        self._settings = settings
        self.key = stream
        self.limit = settings.stream_max_entries
        self._timeout_s = _SWIFT_S
        self._later: Later | None = None
        self._client: redis.Redis | None = None
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

    def add(self, entry: Entry) -> None:
        """Puts ``entry`` in the buffer. It is written with the next ``flush``; soon by itself in a worker."""
        self._follow_fork()
        with self._lock:
            if len(self._buffer) >= _BUFFER_LIMIT:
                self._buffer.popleft()
                self._dropped += 1
            self._buffer.append(entry)
        self._flush_later(_FLUSH_AFTER_S)

    def write(self, entry: Entry) -> bool:
        """Adds ``entry`` and writes all that waits, now; False when Redis did not take it (it is kept)."""
        self.add(entry)
        return self.flush()

    @contextmanager
    def sending(self, entry: Entry) -> Iterator[None]:
        """While the block publishes a message, its transition ``entry`` may ride on it (``passenger``).

        What the transport did not carry is written after the block. Where publishing fails there is no transition.
        """
        self._sending.entry = entry
        try:
            yield
            left_over = self._sending.entry
        finally:
            self._sending.entry = None
        if left_over is not None:
            self.write(left_over)

    @contextmanager
    def passenger(self) -> Iterator[bytes | None]:
        """The transition of the message that this thread is publishing, encoded, for the block to send along."""
        entry: Entry | None = getattr(self._sending, "entry", None)
        try:
            yield None if entry is None else _encoded(entry)
        except _FAILURES:
            if entry is not None:
                # Kombu may try again, and this time may have been good.
                entry["again"] = True
            raise
        self._sending.entry = None

    @contextmanager
    def riding(self) -> Iterator[Load]:
        """All that waits, encoded, for a command that the block sends; it is kept where that fails."""
        self._follow_fork()
        with self._io:
            batch = self._take()
            load = Load([_encoded(entry) for entry in batch])
            try:
                yield load
                if load.problem is not None:
                    raise redis.ResponseError(load.problem)
            except _FAILURES as problem:
                self._put_back(batch, problem)
                if load.problem is None:
                    raise
            else:
                self._succeeded()

    def flush(self) -> bool:
        """Writes all that waits, in order. False when Redis did not take it in time, or failed a moment ago."""
        if not self._buffer or self._pid != os.getpid():
            return True
        with self._io:
            if time.monotonic() < self._resume_at:
                return False
            batch = self._take()
            if not batch:
                return True
            try:
                if self._client is None:
                    self._client = self._connect()
                entries = [_encoded(entry) for entry in batch]
                self._client.eval(_ADD, 1, self.key, self.limit, *entries)
            except _FAILURES as problem:
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
        self._sending = threading.local()
        self._buffer: deque[Entry] = deque()
        self._client = None
        self._later = None
        self._flush_is_due = False
        self._resume_at = 0.0
        self._failures = 0
        self._dropped = 0

    def _follow_fork(self) -> None:
        if self._pid != os.getpid():
            self._timeout_s = _SWIFT_S
            self._begin()

    def _take(self) -> list[Entry]:
        with self._lock:
            batch = list(self._buffer)
            self._buffer.clear()
        return batch

    def _connect(self) -> redis.Redis:
        return redis.Redis.from_url(
            self._settings.redis_url,
            socket_connect_timeout=self._timeout_s,
            socket_timeout=self._timeout_s,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )

    def _put_back(self, batch: Sequence[Entry], problem: Exception) -> None:
        if not batch:
            return
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
        self._resume_at = 0.0

    def _flush_later(self, seconds: float) -> None:
        if self._later is not None and not self._flush_is_due:
            self._flush_is_due = True
            self._later(seconds, self._due)

    def _due(self) -> None:
        self._flush_is_due = False
        if self._buffer and not self.flush():
            self._flush_later(max(_FLUSH_AFTER_S, self._resume_at - time.monotonic()))

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _encoded(entry: Entry) -> bytes:
    try:
        return orjson.dumps(entry)
    except TypeError:
        # A name that no UTF-8 can hold. The reader will set it aside; the task must go on.
        return json.dumps(entry, default=str).encode()
