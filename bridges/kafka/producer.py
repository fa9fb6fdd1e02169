"""The producer port: how the relay gives records to Kafka, and its adapter for kafka-python.

The port promises order: once a record is known to have failed, nothing after it in the same partition is sent by
that producer. So a caller that sends again from the first failed record keeps the order of every key.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from kafka import KafkaProducer
from kafka.cluster import ClusterMetadata
from kafka.errors import IllegalStateError, KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from kafka.partitioner import Partitioner, murmur2

from bridges.kafka.connection import MAX_MESSAGE_BYTES, client_options, describe, translated
from tasks.settings import Settings

DELIVERY_TIMEOUT_MS = 20_000
_METADATA_TIMEOUT_MS = 5_000
_LINGER_MS = 20
_BATCH_BYTES = 262_144
_CLOSE_TIMEOUT_S = 2.0
# What a record takes beside key, value and headers in message format 2, generously.
_RECORD_OVERHEAD_BYTES = 128
_HEADER_OVERHEAD_BYTES = 10
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class OutRecord(NamedTuple):
    """A record to send: ``headers`` are pairs of a name and bytes."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size_bytes(self) -> int:
        """An upper bound of what the record takes in a request."""
        headers = sum(len(name) + len(value) + _HEADER_OVERHEAD_BYTES for name, value in self.headers)
        return len(self.key) + len(self.value) + headers + _RECORD_OVERHEAD_BYTES


class Failure(NamedTuple):
    """The first record of a delivery, by its place from 0, that Kafka did not confirm, and why."""

    place: int
    reason: str
    too_large: bool


class Delivery(Protocol):
    """Records on their way."""

    def wait(self, timeout_s: float, *, hurry: bool) -> bool:
        """Waits until each record is confirmed or failed; False when ``timeout_s`` ended first.

        ``hurry`` sends at once what still lingers for company.
        """

    def failure(self) -> Failure | None:
        """The first record that is not confirmed, after ``wait``; None when all are."""


class Producer(Protocol):
    """Sends records in order. After a failure it sends nothing more: close it and make another."""

    max_record_bytes: int

    def publish(self, records: Sequence[OutRecord]) -> Delivery:
        """Starts to send ``records``, whose topics must exist. Does not raise: failures are the delivery's."""

    def close(self) -> None:
        """Gives up what is not confirmed yet and closes the connections, within 2 s."""


class KafkaPythonProducer:
    """The port on kafka-python: idempotent, acks=all, batches of up to 256 KiB that linger up to 20 ms."""

    max_record_bytes = MAX_MESSAGE_BYTES

    def __init__(self, settings: Settings) -> None:
        """Connects.

        Raises:
            SinkUnavailable: no broker answered within 2 s.
        """
        with translated("connecting a producer"):
            self._producer = KafkaProducer(
                **client_options(settings),
                acks="all",
                enable_idempotence=True,
                linger_ms=_LINGER_MS,
                batch_size=_BATCH_BYTES,
                max_request_size=MAX_MESSAGE_BYTES,
                delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
                max_block_ms=_METADATA_TIMEOUT_MS,
                partitioner=_RememberingPartitioner(),
                metrics_enabled=False,
            )
        self._topics: set[str] = set()
        self._cause: BaseException | None = None

    def publish(self, records: Sequence[OutRecord]) -> Delivery:
        """See ``Producer``."""
        send = self._producer.send
        futures = []
        refusal: Exception | None = None
        for record in records:
            if record.topic not in self._topics:
                self._keep_informed_of(record.topic)
            try:
                future = send(record.topic, record.value, record.key, record.headers)
            except (KafkaError, ValueError) as problem:
                self._stop_sending(problem)
                refusal = problem
                break
            future.add_errback(self._stop_sending)
            futures.append(future)
        return _KafkaPythonDelivery(self, self._producer, futures, refusal)

    @property
    def cause(self) -> BaseException | None:
        """The first error; what failed later may only say that the producer was stopped."""
        return self._cause

    def close(self) -> None:
        """See ``Producer``."""
        self._stop_sending()
        self._producer._sender.join(_CLOSE_TIMEOUT_S)
        # Raises only where the sender hangs in a system call; once back, it sends nothing more.
        with suppress(KafkaError):
            self._producer.close(timeout=0)

    def _keep_informed_of(self, topic: str) -> None:
        # To its first question, about no topics, the embedded broker answers with all; kafka-python then sends to
        # a topic that it does not follow, and forgets where it is at the next look at those that it follows.
        self._producer._sender.add_topic(topic)
        self._topics.add(topic)

    def _stop_sending(self, problem: BaseException | None = None) -> None:
        if self._cause is None:
            self._cause = problem
        # kafka-python would go on with later batches of the same partition. Its own close() can't stop that:
        # it first waits for what is unsent, and raises while that is stuck. Called in the sender's thread too.
        self._producer._sender.force_close()


_hash_of = lru_cache(maxsize=8_192)(murmur2)


class _RememberingPartitioner(Partitioner):  # type: ignore[misc] # kafka-python has no types
    """Chooses as the library's own does (murmur2, as Java's), and remembers each key's hash: it is pure Python."""

    def partition(
        self, topic: str, _key: object, key: bytes, _value: object, _bytes: bytes, cluster: ClusterMetadata
    ) -> int:
        hashed: int = _hash_of(key)
        return (hashed & 0x7FFFFFFF) % len(cluster.partitions_for_topic(topic))


class _KafkaPythonDelivery:
    def __init__(
        self, port: KafkaPythonProducer, producer: KafkaProducer, futures: list[Any], refusal: Exception | None
    ) -> None:
        self._port = port
        self._producer = producer
        self._futures = futures
        self._refusal = refusal
        self._settled = 0

    def wait(self, timeout_s: float, *, hurry: bool) -> bool:
        deadline = time.monotonic() + timeout_s
        if hurry and not self._all_settled():
            # Its error says only that time is up or a record failed: both are looked at below.
            with suppress(KafkaError):
                self._producer.flush(timeout_s)
        while not self._all_settled():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            with suppress(KafkaError):
                self._futures[self._settled].get(left_s)
        return True

    def failure(self) -> Failure | None:
        for index, future in enumerate(self._futures):
            if not future.is_done:
                return Failure(index, "no answer in time", too_large=False)
            if future.exception is not None:
                return self._failure(index, future.exception)
        return None if self._refusal is None else self._failure(len(self._futures), self._refusal)

    def _failure(self, place: int, problem: BaseException) -> Failure:
        reason = problem
        if isinstance(problem, IllegalStateError) and self._port.cause is not None:
            reason = self._port.cause
        return Failure(place, describe(reason), isinstance(problem, _TOO_LARGE))

    def _all_settled(self) -> bool:
        futures, settled = self._futures, self._settled
        while settled < len(futures) and futures[settled].is_done:
            settled += 1
        self._settled = settled
        return settled == len(futures)
