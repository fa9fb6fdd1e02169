"""The relay's connections to Kafka: made when needed, dropped after any trouble, kept from slice to slice."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bridges.kafka.admin import TopicAdmin
from bridges.kafka.confluent import ConfluentProducer, is_installed
from bridges.kafka.producer import KafkaPythonProducer, Producer
from tasks.errors import SinkError
from tasks.settings import Settings

# By KAFKA_CLIENT; ``auto`` is the fastest that is installed.
ADAPTERS: Mapping[str, Callable[[Settings], Producer]] = {
    "auto": ConfluentProducer if is_installed() else KafkaPythonProducer,
    "kafka-python": KafkaPythonProducer,
    "confluent-kafka": ConfluentProducer,
}


@dataclass(frozen=True)
class KafkaSink:
    """A producer and a look at the topics, of the same cluster."""

    producer: Producer
    admin: TopicAdmin

    def close(self) -> None:
        """Gives up what is not confirmed and closes both connections."""
        self.producer.close()
        self.admin.close()


def connect(settings: Settings) -> KafkaSink:
    """Connects to Kafka.

    Raises:
        SinkUnavailable: no broker answered within 2 s.
        SinkError: the library that KAFKA_CLIENT names is not installed.
    """
    admin = TopicAdmin(settings)
    try:
        return KafkaSink(ADAPTERS[settings.kafka_client](settings), admin)
    except SinkError:
        admin.close()
        raise


class SinkHolder:
    """One sink for each process, over many slices of the relay, for as long as the broker is the same.

    A broker that forgot everything hands out its producer ids anew. An idempotent producer of before may then share
    its id with one of now: what it sends is taken for a repeat, confirmed, and dropped.
    """

    def __init__(self, connector: Callable[[Settings], KafkaSink] = connect) -> None:
        self._connector = connector
        self._sink: KafkaSink | None = None
        self._pid = 0
        self._generation = 0

    @property
    def connected(self) -> bool:
        """Whether this process has a sink that was not dropped."""
        return self._sink is not None and self._pid == os.getpid()

    def get(self, settings: Settings, generation: int) -> KafkaSink:
        """This process's sink, connected now where there is none of this ``generation`` of the broker.

        Raises:
            SinkUnavailable: no broker answered within 2 s.
        """
        if generation != self._generation:
            self.drop()
        if self._sink is None or self._pid != os.getpid():
            self._sink = self._connector(settings)
            self._pid = os.getpid()
            self._generation = generation
        return self._sink

    def drop(self) -> None:
        """Closes the sink, if there is one: nothing that it has not sent yet is sent any more."""
        sink, self._sink = self._sink, None
        if sink is not None and self._pid == os.getpid():
            sink.close()
