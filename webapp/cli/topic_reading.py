"""Reads the bridge's own topics of one environment, those that appear later too, through broken connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from bridges.kafka.connection import SinkUnavailable
from bridges.kafka.consumer import InRecord, TopicReader
from bridges.onex.topics import parse_topic
from tasks.errors import ValidationFailed
from tasks.settings import Settings

_LOOK_FOR_TOPICS_EVERY_S = 2.0
_BACKLOG_IDLE_S = 1.0
_BACKLOG_POLL_S = 0.1


def is_of(environment: str) -> Callable[[str], bool]:
    """A test whether a topic's name is one of the bridge's in ``environment``, dead letters included."""

    def test(name: str) -> bool:
        try:
            return parse_topic(name).environment == environment
        except ValidationFailed:
            return False

    return test


class BridgeTopics:
    """All records of the topics that are ``wanted``, from the beginning. Use it as a context manager.

    Connects when first read, and anew after the connection broke: then records come again.
    """

    def __init__(self, settings: Settings, wanted: Callable[[str], bool] | None = None) -> None:
        self._settings = settings
        self._wanted = wanted or is_of(settings.environment)
        self._reader: TopicReader | None = None
        self._looked_at = 0.0

    def __enter__(self) -> BridgeTopics:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; the next poll opens a new one and begins at the beginning."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.__exit__(None, None, None)

    def poll(self, timeout_s: float) -> list[InRecord]:
        """The records that came, waiting at most ``timeout_s`` for the first.

        Raises:
            SinkUnavailable: Kafka does not answer. A later call connects anew.
        """
        try:
            reader = self._connected()
            return reader.poll(timeout_s)
        except SinkUnavailable:
            self.close()
            raise

    def backlog(self) -> Iterator[InRecord]:
        """What is there by now: ends when nothing older than this call came for a moment. Raises as ``poll``.

        Newer records that come meanwhile are among them, so it ends on topics that are never quiet, too.
        """
        began_ms = time.time() * 1000
        last_old = time.monotonic()
        while time.monotonic() - last_old < _BACKLOG_IDLE_S:
            records = self.poll(_BACKLOG_POLL_S)
            if any(record.timestamp_ms < began_ms for record in records):
                last_old = time.monotonic()
            yield from records

    def topics(self) -> list[str]:
        """The names of the wanted topics that exist. Raises as ``poll``."""
        return self._found(self._connected().topics())

    def _connected(self) -> TopicReader:
        if self._reader is None:
            self._reader = TopicReader(self._settings)
            self._looked_at = 0.0
        if time.monotonic() - self._looked_at > _LOOK_FOR_TOPICS_EVERY_S:
            self._reader.take_up(self._found(self._reader.topics()))
            self._looked_at = time.monotonic()
        return self._reader

    def _found(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self._wanted(name)]
