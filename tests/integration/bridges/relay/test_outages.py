"""The relay while Kafka is away, hangs or forgets, while PostgreSQL restarts, and while two relays want to work."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bridges.kafka.admin import TopicAdmin
from bridges.relay import jobs, loop
from bridges.relay.loop import relay
from bridges.relay.notes import DOWN
from bridges.relay.sink import SinkHolder
from tasks.queue import shutdown
from tasks.queue.app import create_celery
from tasks.settings import Settings
from tests.integration.bridges.relay.support import (
    EventStop,
    Journal,
    RunningRelay,
    first_versions_in_order,
)
from tests.integration.conftest import wait_until
from webapp.stack.process import ServerProcess

Start = Callable[..., RunningRelay]
ROOT = Path(__file__).parents[4]


def test_kafka_that_is_away_is_said_once_and_caught_up_with(
    journal: Journal, start_relay: Start, fresh_kafka: ServerProcess, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "bridges.relay")
    fresh_kafka.kill()
    journal.write(100)
    start_relay(slice_s=0.5)
    wait_until(lambda: journal.service.status()["trouble"] == DOWN, 10)
    note = journal.service.status()["note"]
    wait_until(lambda: (journal.service.status()["last_error"] or {}).get("error"), 5)
    journal.write(100)
    time.sleep(2.5)  # several attempts and slices, of which nothing may be said
    assert journal.service.status()["note"] == note
    fresh_kafka.restart()
    journal.wait_caught_up(12)
    wait_until(lambda: journal.service.status()["note"] is None, 5)
    journal.wait_all_on_kafka(5)
    said = [record.message for record in caplog.records if record.name == "bridges.relay"]
    assert said == ["kafka-unavailable", "kafka-available"]


def test_kafka_that_hangs_is_waited_for(
    journal: Journal, start_relay: Start, fresh_kafka: ServerProcess, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loop, "_SAY_SLOW_AFTER_S", 1.0)
    journal.write(10)
    start_relay()
    journal.wait_caught_up()
    fresh_kafka.pause()
    try:
        journal.write(3000)
        wait_until(lambda: journal.service.status()["trouble"] == DOWN, 25)
    finally:
        fresh_kafka.resume()
    journal.wait_caught_up(20)
    journal.wait_all_on_kafka(5)
    assert first_versions_in_order(journal.on_kafka())


def test_an_embedded_broker_that_forgot_everything_is_filled_again(
    journal: Journal, start_relay: Start, fresh_kafka: ServerProcess
):
    journal.write(3000)
    start_relay()
    journal.wait_caught_up()
    fresh_kafka.kill()
    fresh_kafka.restart()
    journal.wait_all_on_kafka(15)
    records = journal.on_kafka()
    assert len(records) == 3000
    assert first_versions_in_order(records)
    wait_until(lambda: journal.service.status()["note"] is None, 5)


def test_a_producer_from_before_the_broker_forgot_everything_is_not_used_again(
    journal: Journal, fresh_kafka: ServerProcess, settings: Settings
):
    """Two processes that relay in turn: the broker gives the new producer of one the id of the other's old one."""
    holders = [SinkHolder(), SinkHolder()]

    def take_turns(turns: int) -> None:
        for turn in range(turns):
            journal.write(50)
            relay(journal.db, settings, holders[turn % 2], EventStop(), 0.3)

    take_turns(4)
    fresh_kafka.kill()
    fresh_kafka.restart()
    take_turns(8)
    for holder in holders:
        holder.drop()
    assert journal.caught_up()
    journal.wait_all_on_kafka(5)


def test_topics_that_somebody_else_made_anew_count_as_lost(
    journal: Journal, start_relay: Start, fresh_kafka: ServerProcess, settings: Settings
):
    journal.write(50)
    relay = start_relay()
    journal.wait_caught_up()
    relay.stop()
    fresh_kafka.kill()
    fresh_kafka.restart()
    admin = TopicAdmin(settings)
    admin.ensure(journal.topics())
    admin.close()
    start_relay()
    journal.wait_all_on_kafka(15)


@pytest.mark.parametrize("kafka_client", ["kafka-python", "confluent-kafka"])
def test_killing_the_broker_under_load_loses_nothing(
    journal: Journal, start_relay: Start, fresh_kafka: ServerProcess
):
    stop = threading.Event()

    def load() -> None:
        version = 0
        while not stop.is_set():
            with journal.db.transaction() as tx:
                version += 1
                for key in range(10):
                    journal.add(tx, f"k{key}", version)

    start_relay()
    writer = threading.Thread(target=load)
    writer.start()
    try:
        for _ in range(3):
            position = journal.service.status()["position"]
            wait_until(lambda position=position: journal.service.status()["position"] > position + 300, 20)
            fresh_kafka.kill()
            fresh_kafka.restart()
    finally:
        stop.set()
        writer.join()
    journal.wait_caught_up(30)
    journal.wait_all_on_kafka(15)
    assert first_versions_in_order(journal.on_kafka())


def test_another_broker_that_lost_topics_is_reported_and_replayed_on_request(
    journal: Journal, start_relay: Start, fresh_kafka: ServerProcess, settings: Settings
):
    journal.write(200)
    start_relay(dataclasses.replace(settings, kafka_ephemeral=False))
    journal.wait_caught_up()
    fresh_kafka.kill()
    fresh_kafka.restart()
    wait_until(lambda: journal.service.status()["lost_topics"] == journal.topics(), 15)
    status = journal.service.status()
    assert "omninode relay replay" in status["note"]
    journal.write(5)
    journal.wait_caught_up()
    assert len(journal.on_kafka()) == 5
    assert journal.service.status()["note"] == status["note"]
    journal.service.replay()
    journal.wait_all_on_kafka(15)
    status = journal.service.status()
    assert (status["note"], status["lost_topics"]) == (None, [])


def test_of_two_relays_one_works_and_the_other_takes_over(
    journal: Journal, start_relay: Start, fresh_kafka: ServerProcess
):
    first = start_relay(slice_s=60)
    wait_until(lambda: journal.service.status()["active"], 5)
    second = start_relay(slice_s=60)
    journal.write(100)
    journal.wait_caught_up()
    assert second.slices_held == 0
    first.stop()
    journal.write(100)
    journal.wait_caught_up(5)
    second.stop()
    assert (first.slices_held, second.slices_held) == (1, 1)
    assert len(journal.on_kafka()) == 200


@pytest.fixture
def killable_relay(settings: Settings) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Relays in processes of their own."""
    script = (
        "import threading\n"
        "from bridges.relay.loop import relay\n"
        "from bridges.relay.sink import SinkHolder\n"
        "from tasks.db.pool import Database\n"
        "from tasks.settings import load_settings\n"
        "from tests.integration.bridges.relay.support import EventStop\n"
        "settings, holder, stop = load_settings(), SinkHolder(), EventStop()\n"
        "db = Database(settings, 'relay-test')\n"
        "while True:\n"
        "    relay(db, settings, holder, stop, 60) or stop.wait(0.05)\n"
    )
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "ENVIRONMENT": "test",
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "KAFKA_EPHEMERAL": "true",
    }
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environ))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_relay_that_is_killed_is_replaced_without_loss(
    journal: Journal, killable_relay: Callable[[], subprocess.Popen[bytes]], fresh_kafka: ServerProcess
):
    relays = [killable_relay(), killable_relay()]
    for _ in range(4):
        journal.write(4000, keys=20)
        position = journal.service.status()["position"]
        wait_until(lambda position=position: journal.service.status()["position"] > position, 20)
        victim = relays.pop(0)  # in turn, so that the one at work is hit
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        relays.append(killable_relay())
    journal.wait_caught_up(30)
    journal.wait_all_on_kafka(10)
    assert first_versions_in_order(journal.on_kafka())


def test_a_restarted_postgresql_ends_the_slice_and_nothing_else(
    journal: Journal, start_relay: Start, fresh_kafka: ServerProcess, settings: Settings
):
    start_relay(slice_s=60)
    journal.write(100)
    journal.wait_caught_up()
    with journal.db.transaction() as tx:
        tx.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'omninode-relay-test'"
        )
    journal.write(100)
    journal.wait_caught_up(10)
    journal.wait_all_on_kafka(5)


def test_without_redis_the_relay_goes_on_without_a_successor(
    journal: Journal, fresh_kafka: ServerProcess, settings: Settings, caplog: pytest.LogCaptureFixture
):
    away = dataclasses.replace(settings, redis_url="redis://127.0.0.1:1/0", bridge_slice_s=0.2)
    app = create_celery(away, "test")
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(app.tasks[jobs.run_slice.name].run)
        try:
            wait_until(lambda: "hints-paused" in caplog.text, 10)
            journal.write(100)
            journal.wait_caught_up(10)
            journal.wait_all_on_kafka(5)
        finally:
            shutdown.request()
            done.result(30)
            shutdown.prepare()
            jobs._holder.drop()
            app.close()
