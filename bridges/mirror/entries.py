"""The state stream as its one reader sees it: a consumer group, batches, and a side stream for what can't be read.

There is one consumer, always of the same name: whoever holds the mirror's lock is it, and finds what the one before
left unacknowledged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
import redis

from tasks.states.model import Transition
from tasks.stream.transition import STREAM

log = logging.getLogger(__name__)

DEAD_SUFFIX = ":dead"
_GROUP = "mirror"
_CONSUMER = "mirror"
_DEAD_LIMIT = 10_000


@dataclass(frozen=True)
class Entry:
    """One entry: its place in the stream, and its transition, or why it has none."""

    id: bytes
    raw: bytes
    transition: Transition | None
    problem: str | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Milliseconds and sequence number: greater is later."""
        return place_of(self.id.decode())


def place_of(stream_id: str) -> tuple[int, int]:
    """A stream id as numbers that can be compared."""
    milliseconds, _, sequence = stream_id.partition("-")
    return int(milliseconds), int(sequence or 0)


class Entries:
    """Reads and removes entries. Redis errors pass through."""

    def __init__(self, client: redis.Redis, stream: str = STREAM) -> None:
        self._redis = client
        self._stream = stream

    def prepare(self) -> None:
        """Makes the stream and the group where they are missing: at first, and after a FLUSHALL.

        Where they are there nothing is written: a full Redis refuses that, and emptying the stream gives it room.
        """
        if self._is_prepared():
            return
        try:
            self._redis.xgroup_create(self._stream, _GROUP, id="0", mkstream=True)
        except redis.ResponseError as problem:
            if "BUSYGROUP" not in str(problem):
                raise
        else:
            log.info("mirror-group-made", extra={"stream": self._stream})

    def _is_prepared(self) -> bool:
        try:
            groups = self._redis.xinfo_groups(self._stream)
        except redis.ResponseError:
            return False  # no such key
        return any(group["name"] in (_GROUP, _GROUP.encode()) for group in groups)

    def unfinished(self, limit: int) -> list[Entry]:
        """Entries that were read before and not removed, oldest first."""
        return self._read("0", limit, None)

    def fresh(self, limit: int, block_ms: int) -> list[Entry]:
        """Entries that nobody has read, oldest first; waits up to ``block_ms`` for the first."""
        return self._read(">", limit, block_ms)

    def remove(self, entries: Iterable[Entry]) -> None:
        """Acknowledges and deletes entries that are dealt with."""
        ids = [entry.id for entry in entries]
        if ids:
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.xack(self._stream, _GROUP, *ids)
            pipeline.xdel(self._stream, *ids)
            pipeline.execute()

    def bury(self, entries: Sequence[Entry]) -> None:
        """Copies entries to the side stream, with the reason."""
        if not entries:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for entry in entries:
            fields: dict[Any, Any] = {"id": entry.id, "reason": entry.problem or "", "e": entry.raw}
            pipeline.xadd(self._stream + DEAD_SUFFIX, fields, maxlen=_DEAD_LIMIT, approximate=True)
        pipeline.execute()

    def _read(self, start: str, limit: int, block_ms: int | None) -> list[Entry]:
        answer = cast(
            "list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]",
            self._redis.xreadgroup(_GROUP, _CONSUMER, {self._stream: start}, count=limit, block=block_ms),
        )
        return [_entry(stream_id, fields) for _stream, rows in answer or [] for stream_id, fields in rows]


def _entry(stream_id: bytes, fields: dict[bytes, bytes] | None) -> Entry:
    if not fields:
        # It was trimmed away while it was pending.
        return Entry(stream_id, b"", None, "the entry was gone before it was read")
    raw = fields.get(b"e")
    if raw is None:
        return Entry(stream_id, orjson.dumps(repr(fields)), None, "the entry has no field e")
    try:
        return Entry(stream_id, raw, Transition.parse(raw))
    except (ValueError, TypeError) as problem:
        return Entry(stream_id, raw, None, str(problem))
