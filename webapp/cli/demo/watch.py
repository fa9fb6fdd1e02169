"""Watches what becomes of the played events: in PostgreSQL by asking, on Kafka by reading along, in threads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from bridges.kafka.connection import SinkUnavailable
from bridges.kafka.consumer import InRecord
from tasks.db.pool import Database
from tasks.db.queries import Queries
from tasks.errors import BridgeError
from tasks.settings import Settings
from webapp.cli.demo.load import Tally
from webapp.cli.topic_reading import BridgeTopics

QUERIES = Queries("webapp.cli.demo", "demo.sql")
_EVERY_S = 0.5
_POLL_S = 0.1


@dataclass
class Seen:
    """The latest of what is known; ``trouble`` names what does not answer now. Replaced as a whole, never torn."""

    states: dict[str, int] = field(default_factory=dict)
    journal_id: int = 0
    relay_position: int = 0
    open_tasks: int = 0
    trouble: str = ""


class DatabaseWatch(threading.Thread):
    """Asks PostgreSQL twice a second."""

    def __init__(self, db: Database, sources: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self.seen = Seen()
        self._db = db
        self._sources = list(sources)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Looks until stopped."""
        while not self._stopped.wait(_EVERY_S):
            try:
                self.seen = self._look()
            except BridgeError as problem:
                before = self.seen
                self.seen = Seen(
                    before.states, before.journal_id, before.relay_position, before.open_tasks, problem.detail
                )

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self.join(5.0)

    def _look(self) -> Seen:
        with self._db.transaction() as tx:
            rows = tx.all(QUERIES["states"], {"sources": self._sources})
            flow = tx.one(QUERIES["flow"]) or {}
        return Seen({row["state"]: row["count"] for row in rows}, **flow)


class KafkaWatch(threading.Thread):
    """Reads the topics along: counts this run's messages by topic, and times each from its post to here."""

    def __init__(self, settings: Settings, tally: Tally) -> None:
        super().__init__(daemon=True)
        self.by_topic: Counter[str] = Counter()
        self.latencies_s: list[float] = []
        self.trouble = ""
        self.ready = threading.Event()
        self._settings = settings
        self._tally = tally
        self._timed: set[str] = set()
        self._stopped = threading.Event()

    def run(self) -> None:
        """Reads until stopped; a broker that is away is waited for."""
        with BridgeTopics(self._settings) as topics:
            while not self._stopped.is_set():
                try:
                    if not self.ready.is_set():
                        for record in topics.backlog():
                            self._note(record)
                        self.ready.set()
                    for record in topics.poll(_POLL_S):
                        self._note(record)
                    self.trouble = ""
                except SinkUnavailable as problem:
                    self.trouble = problem.detail
                    self._stopped.wait(_EVERY_S)

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self.join(5.0)

    def _note(self, record: InRecord) -> None:
        try:
            envelope = orjson.loads(record.value)
            key = envelope.get("correlation_id")
        except (ValueError, AttributeError):
            return
        sent_at = self._tally.sent_at.get(key)
        if sent_at is None:
            return
        name = record.topic.split(".")[4] if record.topic.count(".") >= 4 else record.topic
        self.by_topic[name] += 1
        if key not in self._timed and _is_first_handling(envelope.get("payload")):
            self._timed.add(key)
            self.latencies_s.append(max(0.0, time.time() - sent_at))


def _is_first_handling(payload: Any) -> bool:
    return isinstance(payload, dict) and payload.get("state") == "handled" and payload.get("attempt") == 1
