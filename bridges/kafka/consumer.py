"""Reads topics without a consumer group: from the beginning to where nothing more comes, or on and on.

Joining a group takes seconds, and the embedded broker's end offsets run behind; so a reader assigns itself all
partitions and counts by consuming.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from bridges.kafka.admin import TopicAdmin
from bridges.kafka.connection import MAX_MESSAGE_BYTES, SinkUnavailable, client_options, translated
from tasks.settings import Settings

_POLL_S = 0.1
# The embedded broker holds an empty fetch for as long as it may, also when records come meanwhile.
_FETCH_WAIT_MS = 50
_LOOK_FOR_TOPICS_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class InRecord:
    """A record as it was read; ``timestamp_ms`` is since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class TopicReader:
    """Reads all partitions of some topics, each from its beginning. Use it as a context manager."""

    def __init__(self, settings: Settings) -> None:
        """Connects.

        Raises:
            SinkUnavailable: no broker answered within 2 s.
        """
        self._assigned: set[TopicPartition] = set()
        self._admin = TopicAdmin(settings)
        try:
            with translated("connecting a reader"):
                self._consumer = KafkaConsumer(
                    **client_options(settings),
                    group_id=None,
                    enable_auto_commit=False,
                    auto_offset_reset="earliest",
                    max_partition_fetch_bytes=2 * MAX_MESSAGE_BYTES,
                    fetch_max_wait_ms=_FETCH_WAIT_MS,
                    metrics_enabled=False,
                )
        except SinkUnavailable:
            self._admin.close()
            raise

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(self, *_: object) -> None:
        # Nothing is lost by a reader that can't say good-bye.
        with suppress(KafkaError, OSError):
            self._consumer.close(autocommit=False)
        self._admin.close()

    def topics(self) -> list[str]:
        """The names of all topics on the broker.

        Raises:
            SinkUnavailable: Kafka did not answer.
        """
        return self._admin.names()

    def take_up(self, topics: Iterable[str], *, at_end: bool = False) -> None:
        """Adds the partitions of those of ``topics`` that exist and are not read yet, from their beginning.

        With ``at_end`` from where the broker says that they end, which the embedded one says wrong.

        Raises:
            SinkUnavailable: Kafka did not answer.
        """
        found = self._admin.partitions(topics)
        wanted = {TopicPartition(topic, number) for topic, numbers in found.items() for number in numbers}
        new = wanted - self._assigned
        if not new:
            return
        self._assigned |= new
        with translated("assigning partitions"):
            self._consumer.assign(sorted(self._assigned))
            if at_end:
                self._consumer.seek_to_end(*new)
            else:
                self._consumer.seek_to_beginning(*new)

    def poll(self, timeout_s: float) -> list[InRecord]:
        """The records that came; waits at most ``timeout_s`` for the first. Order holds within a partition.

        Raises:
            SinkUnavailable: the broker reported an error.
        """
        if not self._assigned:
            time.sleep(timeout_s)
            return []
        with translated("reading"):
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=2_000)
        return [
            InRecord(
                record.topic,
                record.partition,
                record.offset,
                record.timestamp,
                record.key,
                record.value or b"",
                tuple(record.headers),
            )
            for records in polled.values()
            for record in records
        ]


def read_all(settings: Settings, topics: Iterable[str], until_idle_s: float = 1.0) -> Iterator[InRecord]:
    """Every record of ``topics`` from the beginning, until none came for ``until_idle_s``.

    Topics that do not exist are passed over, and not made.

    Raises:
        SinkUnavailable: Kafka did not answer.
    """
    wanted = list(topics)
    with TopicReader(settings) as reader:
        reader.take_up(wanted)
        last = time.monotonic()
        while time.monotonic() - last < until_idle_s:
            for record in reader.poll(min(_POLL_S, until_idle_s)):
                yield record
                last = time.monotonic()


def tail(
    settings: Settings,
    wanted: Callable[[str], bool],
    stopped: Callable[[], bool],
    *,
    from_beginning: bool = False,
) -> Iterator[InRecord]:
    """The records of every topic whose name is ``wanted``, as they come, until ``stopped()``.

    Without ``from_beginning`` what was sent before now is passed over. Topics that appear later are taken up.

    Raises:
        SinkUnavailable: Kafka did not answer.
    """
    since_ms = 0 if from_beginning else int(time.time() * 1000)
    with TopicReader(settings) as reader:
        reader.take_up(filter(wanted, reader.topics()), at_end=not from_beginning and not settings.kafka_ephemeral)
        looked_at = time.monotonic()
        while not stopped():
            if time.monotonic() - looked_at > _LOOK_FOR_TOPICS_EVERY_S:
                reader.take_up(filter(wanted, reader.topics()))
                looked_at = time.monotonic()
            for record in reader.poll(_POLL_S):
                if record.timestamp_ms >= since_ms:
                    yield record
