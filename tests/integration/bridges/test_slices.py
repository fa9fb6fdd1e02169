"""Slices that lose PostgreSQL: each goes on by itself when it is back, with nobody to send it again."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
import redis

from bridges import slices
from bridges.commands import jobs as commands
from bridges.relay import jobs as relays
from tasks.db.pool import Database
from tasks.errors import DatabaseUnavailable
from tasks.queue import shutdown
from tasks.queue.app import create_celery
from tasks.settings import Settings
from tests.integration.bridges.relay.support import Journal
from tests.integration.conftest import wait_until
from webapp.stack.process import ServerProcess

HELD = """
SELECT FROM pg_locks
WHERE locktype = 'advisory' AND classid = 7301 AND objid = %(job)s AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
RELAY, COMMANDS = 1, 4


@pytest.fixture
def slice_s() -> float:
    """No test outlasts it."""
    return 60.0


@pytest.fixture
def settings(settings: Settings, slice_s: float) -> Settings:
    """With slices of that time."""
    return dataclasses.replace(settings, bridge_slice_s=slice_s)


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    """A pool of connections to the test's database."""
    database = Database(settings, "test")
    yield database
    database.close()


@pytest.fixture
def run_task(settings: Settings) -> Iterator[Callable[[str], Future[None]]]:
    """Runs one message of a bridge task, which has no beat to send another."""
    app = create_celery(settings, "test")
    pool = ThreadPoolExecutor(2)
    running: list[Future[None]] = []

    def run(name: str) -> Future[None]:
        running.append(pool.submit(app.tasks[name].run))
        return running[-1]

    yield run
    shutdown.request()
    for each in running:
        each.result(30)
    shutdown.prepare()
    relays._holder.drop()
    commands._holder.drop()
    pool.shutdown()
    app.close()


@contextmanager
def away(settings: Settings) -> Iterator[None]:
    """The test's database ends its connections and takes none, as a server that restarts."""
    url, name = settings.database_url.rsplit("/", 1)
    outside = psycopg2.connect(f"{url}/postgres", connect_timeout=5)
    outside.autocommit = True
    with outside.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield
        finally:
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    outside.close()


def held_by_one(db: Database, job: int) -> bool:
    with db.transaction() as tx:
        return len(tx.all(HELD, {"job": job})) == 1


def test_the_relay_goes_on_after_postgresql_by_itself(
    db: Database,
    settings: Settings,
    fresh_kafka: ServerProcess,
    run_task: Callable[[str], Future[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "bridges.slices")
    journal = Journal(db, settings)
    running = run_task(relays.TASK_NAME)
    journal.write(50)
    journal.wait_caught_up()
    with away(settings):
        wait_until(lambda: relays.TASK_NAME in losses(caplog), 10)
        time.sleep(1)  # several tries
    wait_until(lambda: reached(lambda: journal.write(50)), 10)
    wait_until(lambda: held_by_one(db, RELAY), 5)
    journal.wait_caught_up()
    journal.wait_all_on_kafka(5)
    assert len(journal.on_kafka()) == 100
    assert len(losses(caplog)) == 1
    assert not running.done()


@pytest.mark.parametrize("slice_s", [1.0])
def test_a_listener_that_has_lost_postgresql_still_has_a_successor(
    db: Database, settings: Settings, fresh_kafka: ServerProcess, run_task: Callable[[str], Future[None]]
) -> None:
    running = run_task(commands.TASK_NAME)
    wait_until(lambda: held_by_one(db, COMMANDS) or running.done(), 10)
    with away(settings):
        pass
    running.result(20)
    client = redis.Redis.from_url(settings.redis_url, socket_timeout=5)
    assert client.llen(commands.QUEUE) == 1
    client.close()


def test_a_database_that_stays_away_is_left_to_the_next_message(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "_RECONNECT_FOR_S", 0.3)
    tried: list[float] = []

    def work() -> bool:
        tried.append(time.monotonic())
        raise DatabaseUnavailable("away")

    slices.work_in_slices(create_celery(settings, "test"), "some.task", "bridges", work)
    assert len(tried) > 2
    assert tried[-1] - tried[0] < 5


def losses(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """The tasks that said so, each time."""
    return [getattr(one, "task_name", None) for one in caplog.records if one.message == "slice-lost-database"]


def reached(act: Callable[[], object]) -> bool:
    try:
        act()
    except DatabaseUnavailable:
        return False
    return True
