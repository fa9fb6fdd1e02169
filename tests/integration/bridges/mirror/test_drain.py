"""The drain: each transition exactly once in rows and journal, whatever dies in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import orjson
import pytest
import redis

from bridges.mirror import drain as drain_module
from bridges.mirror import jobs
from bridges.mirror.drain import Drain, Outage
from bridges.mirror.entries import DEAD_SUFFIX, Entries, Entry
from tasks.queue.app import create_celery
from tasks.runtime import Runtime, runtime_of
from tasks.settings import Settings
from tasks.states import store
from tasks.states.service import TaskStateService
from tasks.stream.transition import STREAM, transition
from tasks.stream.writer import StreamWriter
from tests.integration.conftest import wait_until

WAY = ("sent", "received", "started", "succeeded")


def client(runtime: Runtime) -> Any:
    return runtime.redis()


def write_way(settings: Settings, *task_ids: str) -> None:
    writer = StreamWriter(settings)
    for task_id in task_ids:
        for state in WAY:
            writer.add(transition(state, task_id, "some.task"))
    assert writer.flush()
    writer.close()


def drained(runtime: Runtime, seconds: float = 0.3) -> Any:
    return Drain(runtime).run(seconds)


class Draining:
    """A drain in a thread of its own, for the ``with`` block."""

    def __init__(self, runtime: Runtime, outage: Outage | None = None) -> None:
        self._stop = threading.Event()
        self._drain = Drain(runtime, outage, self._stop.is_set)
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Draining:
        self._result = self._pool.submit(self._drain.run, 60.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.outcome = self._result.result(30)
        self._pool.shutdown()


def journal_rows(runtime: Runtime) -> int:
    with runtime.db.transaction() as tx:
        row = tx.one("SELECT count(*) AS rows, count(DISTINCT event_id) AS events FROM journal")
        assert row is not None
        assert row["rows"] == row["events"]
        return int(row["rows"])


def test_all_of_it_arrives_and_leaves_the_stream(runtime: Runtime, settings: Settings) -> None:
    write_way(settings, "a", "b", "c")
    outcome = drained(runtime)
    assert (outcome.held, outcome.transitions, outcome.malformed, outcome.repeated) == (True, 12, 0, 0)
    assert client(runtime).xlen(STREAM) == 0
    task = TaskStateService(runtime.db).get("b")
    assert task["state"] == "succeeded"
    assert [row["payload"]["state"] for row in task["history"]] == list(WAY)


class Died(Exception):
    """Stands for the death of the process."""


class DyingEntries(Entries):
    """Dies between the commit and the acknowledgement."""

    def remove(self, entries: Any) -> None:
        raise Died


def test_a_death_between_commit_and_acknowledgement_repeats_nothing(
    runtime: Runtime, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_way(settings, "a", "b")
    with monkeypatch.context() as patched:
        patched.setattr(drain_module, "Entries", DyingEntries)
        with pytest.raises(Died):
            drained(runtime)
    assert client(runtime).xlen(STREAM) == 8
    assert journal_rows(runtime) == 8
    write_way(settings, "c")
    outcome = drained(runtime)
    assert (outcome.transitions, outcome.repeated) == (4, 8)
    assert journal_rows(runtime) == 12
    assert TaskStateService(runtime.db).get("a")["version"] == 4
    assert client(runtime).xlen(STREAM) == 0


def test_a_death_before_the_commit_loses_nothing(runtime: Runtime, settings: Settings) -> None:
    write_way(settings, "a")
    entries = Entries(runtime.redis())
    entries.prepare()
    assert len(entries.fresh(10, 10)) == 4
    assert drained(runtime).transitions == 4
    assert TaskStateService(runtime.db).get("a")["version"] == 4


def test_flushall_under_a_running_drain(runtime: Runtime, settings: Settings) -> None:
    write_way(settings, "a")
    service = TaskStateService(runtime.db)
    with Draining(runtime):
        wait_until(lambda: service.list().items)
        client(runtime).flushall()
        write_way(settings, "b")
        wait_until(lambda: [task["state"] for task in service.list().items] == ["succeeded"] * 2)
    assert journal_rows(runtime) == 8


def test_a_clock_that_went_back_hides_nothing(runtime: Runtime, settings: Settings) -> None:
    write_way(settings, "a")
    drained(runtime)
    redis_client = client(runtime)
    redis_client.flushall()
    for number, state in enumerate(WAY):
        entry = orjson.dumps(transition(state, "b", "some.task"))
        redis_client.xadd(STREAM, {"e": entry}, id=f"1000-{number + 1}")
    outcome = drained(runtime)
    assert (outcome.transitions, outcome.repeated) == (4, 0)
    assert TaskStateService(runtime.db).get("b")["state"] == "succeeded"


def test_what_a_writer_wrote_twice_counts_once(runtime: Runtime) -> None:
    entry = transition("sent", "a", "some.task")
    redis_client = client(runtime)
    redis_client.xadd(STREAM, {"e": orjson.dumps(entry)})
    redis_client.xadd(STREAM, {"e": orjson.dumps({**entry, "again": True})})
    assert drained(runtime).repeated == 1
    redis_client.xadd(STREAM, {"e": orjson.dumps({**entry, "again": True})})
    assert drained(runtime).repeated == 1
    assert journal_rows(runtime) == 1


def test_malformed_entries_are_set_aside(runtime: Runtime, settings: Settings) -> None:
    redis_client = client(runtime)
    redis_client.xadd(STREAM, {"e": b"\xff\xfe"})
    redis_client.xadd(STREAM, {"other": "field"})
    redis_client.xadd(STREAM, {"e": orjson.dumps({**transition("sent", "x", "n"), "state": "odd"})})
    write_way(settings, "a")
    outcome = drained(runtime)
    assert (outcome.transitions, outcome.malformed) == (4, 3)
    assert redis_client.xlen(STREAM) == 0
    dead = [fields for _, fields in redis_client.xrange(STREAM + DEAD_SUFFIX)]
    assert dead[0][b"e"] == b"\xff\xfe"
    assert b"unknown state" in dead[2][b"reason"]
    with runtime.db.transaction() as tx:
        row = tx.one("SELECT detail FROM sink_cursors WHERE sink = 'mirror'")
    assert row is not None
    assert row["detail"]["malformed"] == 3


def test_what_postgresql_refuses_does_not_hold_up_the_rest(runtime: Runtime, settings: Settings) -> None:
    write_way(settings, "a")
    # A time that datetime knows, and PostgreSQL with its offset does not.
    client(runtime).xadd(
        STREAM, {"e": orjson.dumps({**transition("sent", "x", "n"), "at": "2026-01-01T00:00:00+23:59"})}
    )
    write_way(settings, "b")
    outcome = drained(runtime, 1.0)
    assert (outcome.transitions, outcome.malformed) == (8, 1)
    assert journal_rows(runtime) == 8
    assert client(runtime).xlen(STREAM + DEAD_SUFFIX) == 1


def test_only_one_drains(runtime: Runtime, settings: Settings) -> None:
    other = Runtime(settings, "other")
    try:
        with Draining(runtime) as first:
            wait_until(lambda: _lock_is_held(other))
            assert drained(other, 2.0).held is False
    finally:
        other.close()
    assert first.outcome.held is True


def _lock_is_held(runtime: Runtime) -> bool:
    with runtime.db.transaction() as tx:
        return bool(
            tx.all(
                "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
                " WHERE locktype = 'advisory' AND classid = 7301 AND objid = 2 AND datname = current_database()"
            )
        )


def test_whoever_lost_the_connection_cannot_commit(
    runtime: Runtime, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_way(settings, "a")
    apply = store.apply
    deaths: list[int] = []

    def cut(tx: Any, transitions: Any) -> None:
        apply(tx, transitions)
        if not deaths:
            deaths.append(1)
            with runtime.db.session() as other:
                other.execute("SELECT pg_terminate_backend(%(pid)s)", {"pid": tx.raw.info.backend_pid})

    monkeypatch.setattr(store, "apply", cut)
    with Draining(runtime) as draining:
        wait_until(lambda: client(runtime).xlen(STREAM) == 0)
    assert deaths == [1]
    assert (draining.outcome.transitions, draining.outcome.repeated) == (4, 0)
    assert journal_rows(runtime) == 4


def test_redis_away_is_waited_for(
    runtime: Runtime, settings: Settings, valkey_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    service = TaskStateService(runtime.db)
    with Draining(runtime, Outage()):
        wait_until(lambda: _lock_is_held(runtime))
        valkey_server.kill()
        wait_until(lambda: "mirror-waits" in caplog.text)
        valkey_server.restart()
        write_way(settings, "a")
        wait_until(lambda: service.list(state="succeeded").items)
        wait_until(lambda: "mirror-goes-on" in caplog.text)
    assert caplog.text.count("mirror-waits") == 1
    assert caplog.text.count("mirror-goes-on") == 1


@pytest.fixture
def full_valkey(runtime: Runtime) -> Iterator[Callable[[], None]]:
    """Makes Valkey refuse all that takes memory, until the test ends."""

    def fill() -> None:
        runtime.redis().config_set("maxmemory", 1)

    yield fill
    runtime.redis().config_set("maxmemory", 0)


def test_a_full_valkey_is_drained_all_the_same_and_the_drain_goes_on_without_a_successor(
    settings: Settings, full_valkey: Callable[[], None]
) -> None:
    app = create_celery(replace(settings, bridge_slice_s=0.1), "test")
    drain = app.tasks[jobs.drain.name].run
    runtime = runtime_of(app)
    states = TaskStateService(runtime.db)
    drain()
    assert client(runtime).llen("bridges") == 1
    client(runtime).delete("bridges")
    client(runtime).xadd(STREAM, {"e": b"nonsense"})
    write_way(settings, "a")
    full_valkey()
    with pytest.raises(redis.ResponseError, match="maxmemory"):
        client(runtime).set("anything", 1)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(drain)
        wait_until(lambda: client(runtime).xlen(STREAM) == 1)
        assert states.get("a")["state"] == "succeeded"
        # It has ended several slices by now, none of which could send a successor.
        with pytest.raises(TimeoutError):
            done.result(0.5)
        client(runtime).config_set("maxmemory", 0)
        done.result(30)
    assert client(runtime).llen("bridges") == 1
    drained(runtime)
    assert (client(runtime).xlen(STREAM), client(runtime).xlen(STREAM + DEAD_SUFFIX)) == (0, 1)
    app.close()


def test_it_stops_when_told_to(runtime: Runtime) -> None:
    began = time.monotonic()
    Drain(runtime, stop=lambda: time.monotonic() - began > 0.3).run(30.0)
    assert time.monotonic() - began < 3


def test_a_trimmed_entry_is_moved_past(runtime: Runtime) -> None:
    redis_client = client(runtime)
    identity = redis_client.xadd(STREAM, {"e": orjson.dumps(transition("sent", "a", "n"))})
    entries = Entries(runtime.redis())
    entries.prepare()
    [read] = entries.fresh(10, 10)
    assert isinstance(read, Entry)
    redis_client.xdel(STREAM, identity)
    outcome = drained(runtime)
    assert (outcome.transitions, outcome.malformed) == (0, 1)
    with pytest.raises(redis.ResponseError, match="NOGROUP"):
        redis_client.xreadgroup("other", "c", {STREAM: ">"})
