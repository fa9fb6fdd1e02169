"""Topics: which are there, and making those that are missing, with the settings' partitions and replication."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, for_code

from bridges.kafka.connection import MAX_MESSAGE_BYTES, SinkUnavailable, client_options, translated
from tasks.errors import SinkError
from tasks.settings import Settings

_NO_ERROR = 0
_EXISTS = 36
_VISIBLE_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.05
_DAY_MS = 86_400_000


class TopicAdmin:
    """Looks after topics over one connection. Every call ends within seconds."""

    def __init__(self, settings: Settings) -> None:
        """Connects.

        Raises:
            SinkUnavailable: no broker answered within 2 s.
        """
        self._settings = settings
        with translated("connecting"):
            self._client = KafkaAdminClient(**client_options(settings))

    def ids(self, topics: Iterable[str]) -> dict[str, str]:
        """The broker's id of each of ``topics`` that exists; a topic made anew has a new id.

        The id is "" on brokers older than topic ids (Kafka 2.8, KIP-516).

        Raises:
            SinkUnavailable: Kafka did not answer.
        """
        wanted = list(topics)
        if not wanted:
            return {}
        with translated("asking for topics"):
            found = self._client.describe_topics(wanted)
        return {topic["name"]: str(topic["topic_id"] or "") for topic in found if _is_usable(topic)}

    def partitions(self, topics: Iterable[str]) -> dict[str, list[int]]:
        """The partitions of each of ``topics`` that exists.

        Raises:
            SinkUnavailable: Kafka did not answer.
        """
        wanted = list(topics)
        if not wanted:
            return {}
        with translated("asking for topics"):
            found = self._client.describe_topics(wanted)
        return {
            topic["name"]: sorted(partition["partition_index"] for partition in topic["partitions"])
            for topic in found
            if _is_usable(topic)
        }

    def names(self) -> list[str]:
        """The names of all topics.

        Raises:
            SinkUnavailable: Kafka did not answer.
        """
        with translated("listing topics"):
            return sorted(self._client.list_topics())

    def ensure(self, topics: Iterable[str]) -> dict[str, str]:
        """Makes those of ``topics`` that are missing; returns the ids of all (as ``ids``).

        Raises:
            SinkUnavailable: Kafka did not answer, or a new topic had no leader within 5 s.
            SinkError: Kafka refuses to make one.
        """
        wanted = list(topics)
        present = self.ids(wanted)
        missing = [topic for topic in wanted if topic not in present]
        if not missing:
            return present
        self._create(missing)
        deadline = time.monotonic() + _VISIBLE_WITHIN_S
        while True:
            present = self.ids(wanted)
            if len(present) == len(set(wanted)):
                return present
            if time.monotonic() > deadline:
                raise SinkUnavailable(f"Kafka: new topics have no leader yet: {', '.join(missing)}")
            time.sleep(_LOOK_EVERY_S)

    def close(self) -> None:
        """Closes the connection; never raises."""
        with suppress(KafkaError, OSError):
            self._client.close()

    def _create(self, topics: list[str]) -> None:
        settings = self._settings
        options = {
            "num_partitions": settings.kafka_topic_partitions,
            "replication_factor": settings.kafka_replication_factor,
            "configs": {
                "cleanup.policy": "delete",
                "retention.ms": str(settings.retention_journal_days * _DAY_MS),
                "max.message.bytes": str(MAX_MESSAGE_BYTES),
            },
        }
        with translated("making topics"):
            answer = self._client.create_topics(dict.fromkeys(topics, options), raise_errors=False)
        refused = [
            f"{topic['name']}: {topic['error_message'] or for_code(topic['error_code']).__name__}"
            for topic in answer["topics"]
            if topic["error_code"] not in (_NO_ERROR, _EXISTS)
        ]
        if refused:
            raise SinkError(f"Kafka refuses to make topics: {'; '.join(refused)}")


def _is_usable(topic: dict[str, Any]) -> bool:
    """Whether a topic is there and each of its partitions has a leader."""
    return topic["error_code"] == _NO_ERROR and all(partition["leader_id"] >= 0 for partition in topic["partitions"])
