"""The producer port on confluent-kafka, Confluent's binding of librdkafka: several times faster than kafka-python.

An option (``pip install 'omninode-bridge[confluent]'``), since it brings a C library; the relay takes it where it is
installed, unless ``KAFKA_CLIENT`` says otherwise. The gapless guarantee keeps the port's promise of order: after a
record that failed for good librdkafka sends nothing more of its partition, and says so with a fatal error.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bridges.kafka.connection import BOOTSTRAP_TIMEOUT_MS, MAX_MESSAGE_BYTES, SinkUnavailable
from bridges.kafka.producer import DELIVERY_TIMEOUT_MS, Delivery, Failure, OutRecord
from tasks.errors import SinkError
from tasks.settings import Settings

try:
    import confluent_kafka
except ImportError:
    confluent: Any = None
else:
    confluent = confluent_kafka

_LINGER_MS = 5
_BATCH_BYTES = 1 << 20
_QUEUE_MESSAGES = 200_000
_ROOM_WITHIN_S = 5.0
_CLOSE_TIMEOUT_S = 2.0


def is_installed() -> bool:
    """Whether the option was taken."""
    return confluent is not None


class ConfluentProducer:
    """The port on librdkafka: idempotent, acks=all, gapless, and the partitions that Java and kafka-python choose."""

    max_record_bytes = MAX_MESSAGE_BYTES

    def __init__(self, settings: Settings) -> None:
        """Connects.

        Raises:
            SinkUnavailable: no broker answered within 2 s.
            SinkError: confluent-kafka is not installed.
        """
        if confluent is None:
            raise SinkError("KAFKA_CLIENT is confluent-kafka, which is not installed: pip install confluent-kafka")
        self._stopped: Any = None
        self._open: weakref.WeakSet[_ConfluentDelivery] = weakref.WeakSet()
        self._producer = confluent.Producer({**_options(settings), "error_cb": self._hear})
        try:
            self._topics = self._look_for_topics()
        except confluent.KafkaException as problem:
            raise SinkUnavailable(f"Kafka: connecting a producer failed: {_described(problem.args[0])}") from problem

    def publish(self, records: Sequence[OutRecord]) -> Delivery:
        """See ``Producer``."""
        delivery = _ConfluentDelivery(self, self._producer, records)
        self._open.add(delivery)
        produce, settle = self._producer.produce, delivery.settle
        for place, (topic, key, value, headers) in enumerate(records):
            if self._stopped is not None:
                delivery.refuse(place, self._stopped)
                break
            try:
                if topic not in self._topics:
                    self._learn_of(topic)
                try:
                    produce(topic, value, key, headers=headers, on_delivery=settle)
                except BufferError:
                    self._make_room()
                    produce(topic, value, key, headers=headers, on_delivery=settle)
            except (BufferError, confluent.KafkaException) as problem:
                error = problem if isinstance(problem, BufferError) else problem.args[0]
                self.stop(error)
                delivery.refuse(place, error)
                break
        try:
            self._producer.poll(0)
        except confluent.KafkaException as problem:
            self.stop(problem.args[0])
            delivery.abandon(problem.args[0])
        return delivery

    def stop(self, problem: Any) -> None:
        """Sends nothing more: what waits is given up."""
        if self._stopped is None:
            self._stopped = problem
            self._purge(in_flight=False)

    def close(self) -> None:
        """See ``Producer``."""
        self.stop("closed")
        self._purge(in_flight=True)
        # After a fatal error the library raises out of its own callbacks; nothing is sent any more all the same.
        with suppress(confluent.KafkaException, SystemError):
            self._producer.flush(_CLOSE_TIMEOUT_S)
        for delivery in self._open:
            delivery.abandon(self._stopped)

    @property
    def cause(self) -> Any:
        """The first error; what failed later may only say that the producer was stopped."""
        return self._stopped

    def _hear(self, error: Any) -> None:
        """Of troubles that no record is to blame for: the library deals with all but the fatal ones."""
        if error.fatal() and self._stopped is None:
            self._stopped = error

    def _purge(self, *, in_flight: bool) -> None:
        # It raises where the producer has met a fatal error already, which then sends nothing by itself.
        with suppress(confluent.KafkaException):
            self._producer.purge(in_queue=True, in_flight=in_flight, blocking=False)

    def _look_for_topics(self) -> set[str]:
        """The broker's topics; asked for all of them, it makes none."""
        return set(self._producer.list_topics(timeout=BOOTSTRAP_TIMEOUT_MS / 1000).topics)

    def _learn_of(self, topic: str) -> None:
        """librdkafka would have a topic made that it sends to. Raises KafkaException where there is none."""
        self._topics = self._look_for_topics()
        if topic not in self._topics:
            raise confluent.KafkaException(confluent.KafkaError(confluent.KafkaError.UNKNOWN_TOPIC_OR_PART))

    def _make_room(self) -> None:
        deadline = time.monotonic() + _ROOM_WITHIN_S
        while len(self._producer) >= _QUEUE_MESSAGES and time.monotonic() < deadline:
            self._producer.poll(0.05)


class _ConfluentDelivery:
    """All records share one callback: one for each would cost as much again as sending does.

    So which record was confirmed is not known, only how many; and which failed is looked up.
    """

    def __init__(self, port: ConfluentProducer, producer: Any, records: Sequence[OutRecord]) -> None:
        self._port = port
        self._producer = producer
        self._records = records
        self._left = len(records)
        self._failures: dict[int, Any] = {}

    def settle(self, error: Any, message: Any) -> None:
        """The callback of a record."""
        self._left -= 1
        if error is not None:
            self._failures.setdefault(self._place_of(message), error)
            self._port.stop(error)

    def refuse(self, place: int, error: Any) -> None:
        """The record at ``place`` was not taken, nor those after it."""
        self._failures.setdefault(place, error)
        self._left -= len(self._records) - place

    def abandon(self, error: Any) -> None:
        """Nobody will say what became of the records that are left."""
        if self._left > 0:
            self._failures.setdefault(0, error)
            self._left = 0

    def _place_of(self, message: Any) -> int:
        """The first record that is as ``message``: what lies between equal ones is sent again, which does no harm."""
        topic, key, value = message.topic(), message.key(), message.value()
        for place, record in enumerate(self._records):
            if record.value == value and record.key == key and record.topic == topic:
                return place
        return 0

    def wait(self, timeout_s: float, *, hurry: bool) -> bool:
        deadline = time.monotonic() + timeout_s
        while self._left > 0:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            try:
                if hurry:
                    self._producer.flush(left_s)
                else:
                    self._producer.poll(min(left_s, 0.05))
            except confluent.KafkaException as problem:
                # A fatal error, raised through a callback: the library tells of no record any more.
                self._port.stop(problem.args[0])
                self.abandon(problem.args[0])
        return True

    def failure(self) -> Failure | None:
        if self._left <= 0 and not self._failures:
            return None
        # While some are open, any of them may be the first that is not confirmed.
        place = min(self._failures) if self._left <= 0 else 0
        error = self._failures.get(place)
        if error is None:
            return Failure(place, "no answer in time", too_large=False)
        code = error.code() if hasattr(error, "code") else None
        too_large = code == confluent.KafkaError.MSG_SIZE_TOO_LARGE
        purged = code in (confluent.KafkaError._PURGE_QUEUE, confluent.KafkaError._PURGE_INFLIGHT)
        return Failure(place, _described(self._port.cause if purged else error), too_large)


def _described(error: Any) -> str:
    return f"{error.name()}: {error.str()}" if hasattr(error, "name") else str(error)


def _options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": f"omninode-{settings.node_id}",
        "security.protocol": settings.kafka_security_protocol,
        "enable.idempotence": True,
        "enable.gapless.guarantee": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "linger.ms": _LINGER_MS,
        "batch.size": _BATCH_BYTES,
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "queue.buffering.max.messages": _QUEUE_MESSAGES,
        "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
        "reconnect.backoff.max.ms": 1000,
        "topic.metadata.refresh.interval.ms": 30_000,
        "log_level": 0,
        "logger": _quiet(),
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        options |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_sasl_username,
            "sasl.password": settings.kafka_sasl_password,
        }
    if settings.kafka_ssl_cafile is not None:
        options["ssl.ca.location"] = settings.kafka_ssl_cafile
    return options


def _quiet() -> logging.Logger:
    """For what the library says of itself: our own code says what matters, once."""
    logger = logging.getLogger("bridges.kafka.librdkafka")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
