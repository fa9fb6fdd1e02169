"""Reads some topics from given positions on, waiting for more without a consumer group: who listens keeps the places.

``consumer.py`` reads from the beginning, for looking.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from bridges.kafka.admin import TopicAdmin
from bridges.kafka.connection import MAX_MESSAGE_BYTES, SinkUnavailable, client_options, translated
from bridges.kafka.consumer import InRecord
from tasks.settings import Settings

# How long the broker holds a request that finds nothing. The embedded one holds it also when records come meanwhile.
_FETCH_WAIT_MS = 500
_BATCH = 200


class PositionedReader:
    """One connection for reading, and one to look after the topics."""

    def __init__(self, settings: Settings) -> None:
        """Connects.

        Raises:
            SinkUnavailable: no broker answered within 2 s.
        """
        self.admin = TopicAdmin(settings)
        try:
            with translated("connecting a reader"):
                self._consumer = KafkaConsumer(
                    **client_options(settings),
                    group_id=None,
                    enable_auto_commit=False,
                    auto_offset_reset="earliest",
                    isolation_level="read_committed",
                    max_partition_fetch_bytes=2 * MAX_MESSAGE_BYTES,
                    fetch_max_wait_ms=_FETCH_WAIT_MS,
                    metrics_enabled=False,
                )
        except SinkUnavailable:
            self.admin.close()
            raise

    def place(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Reads on from these positions, and nothing else.

        Raises:
            SinkUnavailable: Kafka did not answer.
        """
        with translated("assigning partitions"):
            self._consumer.assign([TopicPartition(*where) for where in sorted(positions)])
            for where, offset in positions.items():
                self._consumer.seek(TopicPartition(*where), offset)

    def poll(self, timeout_s: float) -> list[InRecord]:
        """The records that came; waits at most ``timeout_s`` for the first. Order holds within a partition.

        Raises:
            SinkUnavailable: the broker reported an error.
        """
        with translated("reading"):
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=_BATCH)
        return [
            InRecord(
                one.topic, one.partition, one.offset, one.timestamp, one.key, one.value or b"", tuple(one.headers)
            )
            for records in polled.values()
            for one in records
        ]

    def close(self) -> None:
        """Closes both connections; never raises."""
        with suppress(KafkaError, OSError):
            self._consumer.close(autocommit=False)
        self.admin.close()
