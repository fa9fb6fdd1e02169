"""What the relay's tests share: a journal to write to, and relays that run beside the test."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import orjson

from bridges.kafka.consumer import InRecord, TopicReader, read_all
from bridges.onex.topics import dead_letter_topic, topic_for
from bridges.relay.loop import relay
from bridges.relay.service import RelayService
from bridges.relay.sink import SinkHolder
from tasks.db.pool import Database, Transaction
from tasks.errors import DatabaseUnavailable
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.settings import Settings
from tests.integration.conftest import wait_until


class EventStop:
    """A stop that a test sets."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def requested(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        return self._event.wait(seconds)


class RunningRelay:
    """A relay in a thread of its own, slice after slice, as the worker runs it."""

    def __init__(self, settings: Settings, slice_s: float = 1.0) -> None:
        self.settings = settings
        self.stop_event = EventStop()
        self.holder = SinkHolder()
        self.slices_held = 0
        self._slice_s = slice_s
        self._thread = ThreadPoolExecutor(1)
        self._future = self._thread.submit(self._run)

    def stop(self) -> None:
        """Ends it, and raises what it raised."""
        self.stop_event.set()
        self._future.result(30)
        self._thread.shutdown()

    def _run(self) -> None:
        db = Database(self.settings, "relay-test")
        try:
            while not self.stop_event.requested():
                try:
                    held = relay(db, self.settings, self.holder, self.stop_event, self._slice_s)
                except DatabaseUnavailable:
                    held = False
                self.slices_held += held
                if not held:
                    self.stop_event.wait(0.05)
        finally:
            self.holder.drop()
            db.close()


class Journal:
    """Writes journal rows and reads back what Kafka has of them."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.db = db
        self.settings = settings
        self.service = RelayService(db, settings)
        self._versions: Counter[str] = Counter()

    def write(self, count: int = 1, *, keys: int = 5, event_type: str = "hook-received", size: int = 20) -> None:
        """Rows of ``keys`` aggregates in one transaction."""
        events = []
        for n in range(count):
            key = f"a{n % keys}"
            self._versions[key] += 1
            events.append(self.event(key, self._versions[key], event_type, size))
        with self.db.transaction() as tx:
            append(tx, events)

    def event(self, key: str, version: int, event_type: str = "hook-received", size: int = 20) -> JournalEvent:
        return JournalEvent("thing", key, version, event_type, {"text": "x" * size}, correlation_id=f"c-{key}")

    def add(self, tx: Transaction, key: str, version: int) -> int:
        return append(tx, [self.event(key, version)])[0]

    def rows(self) -> list[dict[str, Any]]:
        with self.db.transaction() as tx:
            return tx.all("SELECT id, event_id, event_type, aggregate_id, version FROM journal ORDER BY id")

    def topics(self, rows: list[dict[str, Any]] | None = None) -> list[str]:
        types = {row["event_type"] for row in (self.rows() if rows is None else rows)}
        return sorted(topic_for(kind, self.settings.environment) for kind in types)

    def read(self, topics: list[str]) -> list[InRecord]:
        return list(read_all(self.settings, topics, 1.0))

    def on_kafka(self) -> list[InRecord]:
        return self.read(self.topics())

    def wait_all_on_kafka(self, seconds: float) -> None:
        """Reads until Kafka has held each event of the journal, while at least every ``seconds`` something comes; an
        event that isn't the journal's fails the test."""
        rows = self.rows()
        missing = {row["event_id"] for row in rows}
        known = set(missing)
        topics = self.topics(rows)
        came_at = time.monotonic()
        with TopicReader(self.settings) as reader:
            while missing:
                assert time.monotonic() - came_at < seconds, (
                    f"{len(missing)} not on Kafka; relay status: {self.service.status()}"
                )
                reader.take_up(topics)
                found = event_ids(reader.poll(0.2))
                if found:
                    came_at = time.monotonic()
                assert found <= known
                missing -= found

    def dead_letters(self) -> list[dict[str, Any]]:
        return [orjson.loads(record.value) for record in self.read([dead_letter_topic(t) for t in self.topics()])]

    def caught_up(self) -> bool:
        return bool(self.service.status()["lag_rows"] == 0)

    def wait_caught_up(self, seconds: float = 30.0) -> None:
        wait_until(self.caught_up, seconds, lambda: f"relay status: {self.service.status()}")


def event_ids(records: list[InRecord]) -> set[UUID]:
    """The distinct event ids of records."""
    return {UUID(orjson.loads(record.value)["event_id"]) for record in records}


def first_versions_in_order(records: list[InRecord]) -> bool:
    """Whether each key's versions, duplicates aside, rise in each partition."""
    seen: set[str] = set()
    last: dict[tuple[str, int, bytes | None], int] = {}
    for record in sorted(records, key=lambda record: (record.topic, record.partition, record.offset)):
        envelope = orjson.loads(record.value)
        if envelope["event_id"] in seen:
            continue
        seen.add(envelope["event_id"])
        place = (record.topic, record.partition, record.key)
        version = envelope["metadata"]["aggregate_version"]
        if version <= last.get(place, 0):
            return False
        last[place] = version
    return True
