"""P11: the relay catching up, against the producer library alone with the same messages; its memory over time.

Each run begins with an empty broker. The baseline sends what the relay has sent: the messages are read back from
Kafka once, which also shows that each row of the journal is there.
"""

from __future__ import annotations

import pickle
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from bridges.kafka.admin import TopicAdmin
from bridges.kafka.consumer import InRecord, read_all
from bridges.onex.topics import topic_for
from bridges.relay.service import RelayService
from tasks.db.pool import Database
from tasks.ids import new_id
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.queue.app import create_celery
from tasks.settings import Settings
from tests.bench.model import Bar, Bench, BenchError, Outcome, Plan, Sample, Series, Side
from tests.bench.pairs import in_turn
from tests.bench.servers import Ground, Program
from tests.bench.system import ground_of


@dataclass(frozen=True)
class Adapter:
    """A producer library: its value of KAFKA_CLIENT, and the program that uses it alone."""

    name: str
    alone: str

    @property
    def relay_side(self) -> str:
        """The name of the relay's side."""
        return f"relay, {self.name}"

    @property
    def alone_side(self) -> str:
        """The name of the library's side."""
        return f"{self.name} alone"


# Each producer adapter of bridges.kafka has a line here, and its bars below.
PYTHON = Adapter("kafka-python", "tests.bench.baselines.produce_kafka_python")
CONFLUENT = Adapter("confluent-kafka", "tests.bench.baselines.produce_confluent")
ADAPTERS = (PYTHON, CONFLUENT)

_RATE = "rows_per_s"
_GROWTH = "rss_growth"
_ROWS = 200_000
_SMOKE_ROWS = 2_000
_APPEND_ROWS = 1_000
_EVENTS = ("hook-received", "hook-state-changed", "service-startup")
_POLL_S = 0.1
_SENT_WITHIN_S = 300.0
_POSITION = "SELECT position FROM sink_cursors WHERE sink = 'kafka'"


def run(plan: Plan) -> Outcome:
    """Fills a journal once, and relays all of it in each run."""
    rows = plan.counted(_ROWS, _SMOKE_ROWS)
    with ground_of(plan) as ground:
        plan.say(f"  filling the journal with {rows:,} rows")
        sides = _Sides(ground, plan.folder / "servers" / "messages", rows)
        rounds = in_turn([side for adapter in ADAPTERS for side in sides.of(adapter)], plan)
    bytes_each = sides.message_bytes / rows
    notes = [
        f"{rows:,} rows of three event types to an empty broker; a message has {bytes_each:.0f} bytes of value.",
        "rss_growth: the relay process's memory at the end, against a quarter of the way.",
    ]
    return Outcome(rounds, sides.series, notes)


class _Sides:
    def __init__(self, ground: Ground, messages: Path, rows: int) -> None:
        self.series: list[Series] = []
        self.message_bytes = 0
        self._ground = ground
        self._messages = messages
        self._rows = rows
        self._last_id = _fill(ground.settings(), rows)
        ground.query("VACUUM ANALYZE journal")

    def of(self, adapter: Adapter) -> list[Side]:
        """The two sides of one library."""
        return [
            Side(adapter.relay_side, partial(self._relay, adapter)),
            Side(adapter.alone_side, partial(self._alone, adapter)),
        ]

    def _relay(self, adapter: Adapter) -> Sample:
        ground = self._ground
        ground.kafka.restart()
        ground.redis().flushdb()
        ground.settle()
        settings = ground.settings()
        _rewind(settings)
        environ = ground.environ(KAFKA_CLIENT=adapter.name)
        worker = ground.worker("bridge", "bridges.celery", "-Q", "bridges", "--concurrency", "1", environ=environ)
        try:
            _send(settings)
            sample = self._watch(worker, adapter)
        finally:
            ground.kill(worker)
        if not self._messages.exists():
            self._keep_messages(settings)
        return sample

    def _watch(self, worker: Program, adapter: Adapter) -> Sample:
        """Looks at the cursor and the memory until all is confirmed. The time runs from the first confirmed page."""
        seen: list[tuple[float, int, float]] = []
        started = time.monotonic()
        deadline = started + _SENT_WITHIN_S
        position = 0
        while position < self._last_id:
            if time.monotonic() > deadline:
                raise BenchError(f"The relay is at {position}. The end of its log:\n{worker.log_end()}")
            time.sleep(_POLL_S)
            position = self._ground.number(_POSITION)
            if position:
                seen.append((time.monotonic(), position, _largest_rss_mb(worker)))
        first = min(seen[0][1], self._last_id)
        began = seen[0][0] if first < self._last_id else started
        seconds = [at - began for at, _, _ in seen]
        memory = [rss for _, _, rss in seen]
        self.series.append(Series(adapter.relay_side, "resident memory of the relay process, MB", seconds, memory))
        return {
            _RATE: (self._last_id - first or self._rows) / seconds[-1],
            "rss_peak_mb": max(memory),
            _GROWTH: statistics.median(memory[-3:]) / memory[len(memory) // 4],
        }

    def _alone(self, adapter: Adapter) -> Sample:
        ground = self._ground
        ground.kafka.restart()
        ground.settle()
        admin = TopicAdmin(ground.settings())
        admin.ensure(_topics(ground.settings()))
        admin.close()
        program = ground.start(
            f"{adapter.name}-alone",
            adapter.alone,
            ground.kafka.server.url,
            str(self._messages),
            environ=ground.bare_environ(),
        )
        program.wait(_SENT_WITHIN_S)
        return {_RATE: self._rows / float(program.log_end().split()[-1])}

    def _keep_messages(self, settings: Settings) -> None:
        found = [(record.topic, record.key, record.value, list(record.headers)) for record in _sent(settings)]
        if len(found) < self._rows:
            raise BenchError(f"The relay confirmed {self._rows} rows, and Kafka has {len(found)}")
        self.message_bytes = sum(len(value) for _, _, value, _ in found)
        self._messages.write_bytes(pickle.dumps(found))


def _sent(settings: Settings) -> Iterator[InRecord]:
    return read_all(settings, _topics(settings), until_idle_s=2.0)


def _topics(settings: Settings) -> list[str]:
    return [topic_for(event_type, settings.environment) for event_type in _EVENTS]


def _fill(settings: Settings, rows: int) -> int:
    """Writes the journal of hooks that were received, claimed and handled; returns the last id."""
    db = Database(settings, "bench")
    try:
        for start in range(0, rows, _APPEND_ROWS):
            count = min(_APPEND_ROWS, rows - start)
            with db.transaction() as tx:
                last_id = append(tx, _events(count))[-1]
        return last_id
    finally:
        db.close()


def _events(count: int) -> list[JournalEvent]:
    events: list[JournalEvent] = []
    while len(events) < count:
        hook_id, correlation_id = str(new_id()), str(new_id())
        for version, event_type in enumerate(_EVENTS, 1):
            payload = {
                "hook_id": hook_id,
                "state": ("received", "processing", "handled")[version - 1],
                "source": "billing-api",
                "action": "startup",
                "resource": "service",
                "resource_id": "billing-api-7f9c",
                "environment": "production",
                "data": {"host": "10.0.3.17", "port": 8080, "region": "eu-west-1"},
            }
            events.append(JournalEvent("hook", hook_id, version, event_type, payload, correlation_id))
    return events[:count]


def _rewind(settings: Settings) -> None:
    db = Database(settings, "bench")
    try:
        RelayService(db, settings).replay()
    finally:
        db.close()


def _send(settings: Settings) -> None:
    app = create_celery(settings, role="bench")
    try:
        app.send_task("bridges.relay", queue="bridges")
    finally:
        app.bridge.close()
        app.close()


def _largest_rss_mb(worker: Program) -> float:
    """Of the worker's processes: the one that relays."""
    sizes = [0]
    for process in worker.processes():
        with suppress(psutil.NoSuchProcess):
            sizes.append(process.memory_info().rss)
    return max(sizes) / 1e6


BENCH = Bench(
    "relay",
    "journal to Kafka, catching up",
    (
        Bar("P11", "rows/s against kafka-python alone", _RATE, PYTHON.relay_side, PYTHON.alone_side, least=0.7),
        Bar("P11", "memory flat, kafka-python", _GROWTH, PYTHON.relay_side, most=1.1),
        Bar("P11", "rows/s with confluent-kafka", _RATE, CONFLUENT.relay_side, least=25_000),
        Bar("P11", "confluent-kafka to kafka-python", _RATE, CONFLUENT.relay_side, PYTHON.relay_side, least=5.0),
        Bar("P11", "memory flat, confluent-kafka", _GROWTH, CONFLUENT.relay_side, most=1.1),
    ),
    run,
)
