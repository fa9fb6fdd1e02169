"""Every transition of every task reaches the stream, whoever wrote the task and however it ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from tasks import correlation
from tasks.queue.app import BridgeCelery, create_celery
from tasks.settings import Settings
from tasks.stream.transition import STREAM
from tests.integration.conftest import wait_until

HERE = Path(__file__).parent
ROOT = HERE.parent.parent.parent.parent


@pytest.fixture
def app(settings: Settings) -> Iterator[BridgeCelery]:
    made = create_celery(settings, "test")
    yield made
    made.close()


class Stream:
    """What the stream says of tasks."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url)

    def entries(self, task_id: str) -> list[dict[str, Any]]:
        rows = [orjson.loads(fields[b"e"]) for _, fields in self.client.xrange(STREAM)]
        return [row for row in rows if row["task_id"] == task_id]

    def states(self, task_id: str) -> list[str]:
        return [row["state"] for row in self.entries(task_id)]

    def when_ended(self, task_id: str, *, end: str, seconds: float = 30.0) -> list[dict[str, Any]]:
        wait_until(lambda: end in self.states(task_id), seconds)
        return self.entries(task_id)


@pytest.fixture
def stream(redis_url: str) -> Stream:
    return Stream(redis_url)


@pytest.fixture
def user(celery_processes: Any) -> dict[str, str]:
    """The environment of a worker that knows the user's tasks."""
    return {"OMNINODE_IMPORTS": "user_tasks", "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}


ORDINARY = [
    ("user.add", [1, 2], ["sent", "received", "started", "succeeded"]),
    ("user.own_base", [], ["sent", "received", "started", "succeeded"]),
    ("user.early", [], ["sent", "received", "started", "succeeded"]),
    ("user.fail", ["password=hunter2 no"], ["sent", "received", "started", "failed"]),
    ("user.fail_oddly", [], ["sent", "received", "started", "failed"]),
    ("user.ignore", [], ["sent", "received", "started", "succeeded"]),
    ("user.reject", [], ["sent", "received", "started", "rejected"]),
    ("user.too_long", [], ["sent", "received", "started", "failed"]),
    ("user.unheard_of", [], ["sent", "rejected"]),
    ("demo.fib", [-1], ["sent", "received", "started", "failed"]),
    ("demo.fib", [10], ["sent", "received", "started", "succeeded"]),
]


def test_each_way_a_task_can_end(
    app: BridgeCelery, celery_processes: Any, stream: Stream, user: dict[str, str]
) -> None:
    celery_processes.worker("hooks", **user)
    with correlation.bind("order-66"):
        sent = [
            (app.send_task(name, args=args, ignore_result=True).id, name, expected)
            for name, args, expected in ORDINARY
        ]
    for task_id, name, expected in sent:
        entries = stream.when_ended(task_id, end=expected[-1])
        assert [entry["state"] for entry in entries] == expected, name
        assert {entry["correlation_id"] for entry in entries} == {"order-66"}
        assert {entry["name"] for entry in entries} == {name}
        assert {entry["queue"] for entry in entries} == {"hooks"}
        assert len({entry["event_id"] for entry in entries}) == len(entries)
        assert "args" not in entries[0]
    by_name = {name: stream.entries(task_id)[-1] for task_id, name, _ in sent}
    assert by_name["user.fail"]["error_type"] == "ValueError"
    assert by_name["user.fail"]["error"] == "password=[redacted] no"
    assert by_name["user.fail_oddly"]["error_type"] == "Unpicklable"
    assert "this and that" in by_name["user.fail_oddly"]["error"]
    assert by_name["user.reject"]["error"] == "not for me"
    assert by_name["user.too_long"]["error_type"] == "TimeLimitExceeded"
    assert by_name["user.unheard_of"]["error_type"] == "NotRegistered"


def test_retries_are_attempts(app: BridgeCelery, celery_processes: Any, stream: Stream, user: dict[str, str]) -> None:
    celery_processes.worker("hooks", **user)
    task_id = app.send_task("user.flaky", args=[2], ignore_result=True).id
    entries = stream.when_ended(task_id, end="succeeded")
    by_attempt: dict[int, set[str]] = {}
    for entry in entries:
        by_attempt.setdefault(entry["attempt"], set()).add(entry["state"])
    assert by_attempt == {
        0: {"sent", "received", "started", "retried"},
        1: {"sent", "received", "started", "retried"},
        2: {"sent", "received", "started", "succeeded"},
    }
    [first_retry] = [e for e in entries if e["state"] == "retried" and e["attempt"] == 0]
    assert (first_retry["error_type"], first_retry["error"]) == ("RuntimeError", "not yet")


def test_a_task_that_kills_its_process_is_given_up(
    app: BridgeCelery, celery_processes: Any, stream: Stream, user: dict[str, str]
) -> None:
    celery_processes.worker("hooks", TASK_MAX_DELIVERIES="3", **user)
    task_id = app.send_task("user.kill_me", ignore_result=True).id
    after = app.send_task("user.add", args=[1, 1], ignore_result=True).id
    entries = stream.when_ended(task_id, end="rejected", seconds=60)
    assert [e["state"] for e in entries].count("started") == 3
    assert entries[-1]["error_type"] == "WorkerLostError"
    assert "given up after 3 deliveries" in entries[-1]["error"]
    stream.when_ended(after, end="succeeded")
    assert stream.client.llen("hooks") == 0
    wait_until(lambda: stream.client.hlen("unacked") == 0)


def test_a_process_that_dies_once_does_no_harm(
    app: BridgeCelery, celery_processes: Any, stream: Stream, user: dict[str, str]
) -> None:
    celery_processes.worker("hooks", **user)
    task_id = app.send_task("user.kill_once", ignore_result=True).id
    states = [e["state"] for e in stream.when_ended(task_id, end="succeeded")]
    assert states == ["sent", "received", "started", "retried", "received", "started", "succeeded"]


def test_a_message_that_outlives_its_worker_is_counted(
    app: BridgeCelery, celery_processes: Any, stream: Stream, user: dict[str, str], settings: Settings
) -> None:
    short = {"VISIBILITY_TIMEOUT_S": "3", "TASK_MAX_DELIVERIES": "2", **user}
    task_id = app.send_task("user.nap", args=[60], ignore_result=True).id
    for deaths in (1, 2):
        worker = celery_processes.worker("hooks", **short)
        wait_until(lambda starts=deaths: stream.states(task_id).count("started") == starts, 60)
        worker.kill()
    celery_processes.worker("hooks", **short)
    entries = stream.when_ended(task_id, end="rejected", seconds=60)
    assert [e["state"] for e in entries].count("started") == 2
    assert "given up after 2 deliveries" in entries[-1]["error"]


def test_a_wish_to_come_again_is_no_poison(
    app: BridgeCelery, celery_processes: Any, stream: Stream, user: dict[str, str]
) -> None:
    celery_processes.worker("hooks", TASK_MAX_DELIVERIES="2", **user)
    task_id = app.send_task("user.not_now", args=[5], ignore_result=True).id
    entries = stream.when_ended(task_id, end="succeeded")
    assert [e["state"] for e in entries].count("started") == 6


def test_revoked_expired_and_terminated(
    app: BridgeCelery, celery_processes: Any, stream: Stream, user: dict[str, str]
) -> None:
    expired = app.send_task("user.add", args=[1, 1], expires=0.2, ignore_result=True).id
    celery_processes.worker("hooks", concurrency=1, **user)
    running = app.send_task("user.nap", args=[60], ignore_result=True).id
    wait_until(lambda: "started" in stream.states(running))
    revoked = app.send_task("user.add", args=[1, 1], ignore_result=True).id
    app.control.revoke(revoked)
    app.control.revoke(running, terminate=True, signal="SIGKILL")
    assert stream.when_ended(running, end="revoked")[-1]["error"] == "terminated"
    assert stream.when_ended(expired, end="revoked")[-1]["error"] == "expired"
    assert stream.when_ended(revoked, end="revoked")[-1]["error"] == "revoked"
    assert "started" not in stream.states(revoked)


def test_children_of_a_task_know_their_parent(
    app: BridgeCelery, celery_processes: Any, stream: Stream, user: dict[str, str]
) -> None:
    celery_processes.worker("hooks", **user)
    with correlation.bind("family"):
        task_id = app.send_task("user.parent", ignore_result=True).id
    stream.when_ended(task_id, end="succeeded")

    def child() -> list[dict[str, Any]]:
        rows = [orjson.loads(fields[b"e"]) for _, fields in stream.client.xrange(STREAM)]
        return [row for row in rows if row["parent_id"] == task_id and row["state"] == "succeeded"]

    [row] = wait_until(child)
    assert (row["name"], row["root_id"], row["correlation_id"]) == ("user.add", task_id, "family")


def test_a_replaced_task_ends_once(
    app: BridgeCelery, celery_processes: Any, stream: Stream, user: dict[str, str]
) -> None:
    celery_processes.worker("hooks", **user)
    task_id = app.send_task("user.replace", ignore_result=True).id
    entries = stream.when_ended(task_id, end="succeeded")
    assert [(e["name"], e["state"]) for e in entries].count(("user.add", "succeeded")) == 1
    assert ("user.replace", "succeeded") not in [(e["name"], e["state"]) for e in entries]


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools(
    app: BridgeCelery, celery_processes: Any, stream: Stream, user: dict[str, str], pool: str
) -> None:
    celery_processes.worker("hooks", pool=pool, **user)
    good = app.send_task("user.add", args=[1, 2], ignore_result=True).id
    bad = app.send_task("user.fail", args=["no"], ignore_result=True).id
    assert [e["state"] for e in stream.when_ended(good, end="succeeded")] == [
        "sent",
        "received",
        "started",
        "succeeded",
    ]
    assert [e["state"] for e in stream.when_ended(bad, end="failed")] == ["sent", "received", "started", "failed"]


def test_a_long_task_shows_while_it_runs(
    app: BridgeCelery, celery_processes: Any, stream: Stream, user: dict[str, str]
) -> None:
    worker = celery_processes.worker("hooks", concurrency=1, **user)
    task_id = app.send_task("user.nap", args=[3], ignore_result=True).id
    wait_until(lambda: stream.states(task_id) == ["sent", "received", "started"], 2.5)
    os.kill(worker.pid, signal.SIGTERM)
    stream.when_ended(task_id, end="succeeded")


def test_redis_away_for_a_while_loses_no_transition_of_an_acknowledged_task(
    app: BridgeCelery, celery_processes: Any, stream: Stream, user: dict[str, str], valkey_server: Any
) -> None:
    celery_processes.worker("hooks", **user)
    first = app.send_task("user.add", args=[1, 2], ignore_result=True).id
    stream.when_ended(first, end="succeeded")
    task_id = app.send_task("user.nap", args=[2], ignore_result=True).id
    wait_until(lambda: "started" in stream.states(task_id))
    valkey_server.pause()
    try:
        ends = time.monotonic() + 4
        wait_until(lambda: time.monotonic() > ends)
    finally:
        valkey_server.resume()
    assert [e["state"] for e in stream.when_ended(task_id, end="succeeded")][:3] == ["sent", "received", "started"]
