"""The writer: order, bounds and doubt, on a real Redis that comes and goes."""

from __future__ import annotations

import os
from typing import Any

import orjson
import pytest
import redis

from tasks.queue.app import create_celery
from tasks.settings import Settings
from tasks.stream import writer as writer_module
from tasks.stream.transition import STREAM, transition
from tasks.stream.writer import StreamWriter
from tests.integration.conftest import wait_until


def written(url: str) -> list[dict[str, Any]]:
    rows: Any = redis.Redis.from_url(url).xrange(STREAM)
    return [orjson.loads(fields[b"e"]) for _, fields in rows]


def entry(number: int) -> dict[str, Any]:
    return transition("sent", f"task-{number}", "some.task")


def test_entries_keep_their_order(settings: Settings, redis_url: str) -> None:
    writer = StreamWriter(settings)
    for number in range(2500):
        writer.add(entry(number))
    assert writer.flush()
    assert [row["task_id"] for row in written(redis_url)] == [f"task-{n}" for n in range(2500)]
    writer.close()


def test_while_redis_is_away_the_newest_are_kept(
    settings: Settings, redis_url: str, valkey_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_BUFFER_LIMIT", 10)
    writer = StreamWriter(settings)
    assert writer.write(entry(0))
    valkey_server.pause()
    try:
        for number in range(1, 16):
            assert writer.write(entry(number)) is False
        assert writer.waiting == 10
    finally:
        valkey_server.resume()
    wait_until(writer.flush)
    rows = written(redis_url)
    # The frozen server may have got the first of them all the same: its second copy says so.
    assert [row["task_id"] for row in rows][-10:] == [f"task-{n}" for n in range(6, 16)]
    doubled = [row for row in rows if [r["event_id"] for r in rows].count(row["event_id"]) > 1]
    assert all(row.get("again") for row in doubled[1:])
    writer.close()


def test_a_fork_starts_anew(settings: Settings, redis_url: str) -> None:
    writer = StreamWriter(settings)
    assert writer.write(entry(0))
    writer.add(entry(1))
    child = os.fork()
    if child == 0:
        os._exit(0 if writer.write(entry(2)) and writer.waiting == 0 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert writer.flush()
    assert sorted(row["task_id"] for row in written(redis_url)) == ["task-0", "task-1", "task-2"]
    writer.close()


def test_the_stream_has_a_bound(settings: Settings, redis_url: str) -> None:
    import dataclasses

    writer = StreamWriter(dataclasses.replace(settings, stream_max_entries=1000))
    for number in range(5000):
        writer.add(entry(number))
    assert writer.flush()
    assert 1000 <= len(written(redis_url)) < 1500
    writer.close()


def test_a_message_and_its_transition_come_together_or_not_at_all(
    settings: Settings, redis_url: str, valkey_server: Any
) -> None:
    app = create_celery(settings, "test")
    app.send_task("some.task", ignore_result=True)
    valkey_server.pause()
    try:
        with pytest.raises(Exception, match="Timeout"):
            app.send_task("some.task", ignore_result=True)
    finally:
        valkey_server.resume()
    client: Any = redis.Redis.from_url(redis_url)
    wait_until(lambda: client.ping())
    assert client.llen("hooks") == len(written(redis_url))
    assert app.bridge_stream.waiting == 0
    app.close()


def test_a_text_that_is_no_text_harms_nobody(settings: Settings, redis_url: str) -> None:
    writer = StreamWriter(settings)
    assert writer.write({**entry(0), "name": "\udc80"})
    writer.close()


def test_commands_share_a_client_that_survives_a_lost_connection_and_a_fork(
    settings: Settings, redis_url: str, valkey_server: Any
) -> None:
    app = create_celery(settings, "test")
    made = app.connection_for_write()
    channel: Any = made.default_channel
    with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
        assert first is second
        assert first is not channel.client
    redis.Redis.from_url(redis_url).client_kill_filter(_type="normal", skipme=True)
    app.send_task("some.task", ignore_result=True, connection=made, retry=True)
    channel._after_fork()
    with channel.conn_or_acquire() as anew:
        assert anew is not first
        assert anew.ping()
    made.release()
    app.close()
