"""Workers as they run: correlation ids in their logs, shutdown that reaches children, Redis that comes and goes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from tasks import correlation
from tasks.queue.app import BridgeCelery, create_celery
from tasks.settings import Settings
from tests.integration.conftest import wait_until

HERE = Path(__file__).parent
ROOT = HERE.parent.parent.parent.parent
MODULE = {"OMNINODE_IMPORTS": "queue_tasks", "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}


@pytest.fixture
def app(settings: Settings) -> Iterator[BridgeCelery]:
    made = create_celery(settings, "test")
    yield made
    made.close()


def log_lines(worker: Any) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in worker.output().splitlines() if line.startswith("{")]


def test_logs_are_json_with_the_correlation_id_and_without_arguments(
    app: BridgeCelery, celery_processes: Any
) -> None:
    worker = celery_processes.worker("hooks", **MODULE)
    with correlation.bind("trace-1"):
        app.send_task("queue.says", args=["aloud"], ignore_result=True)
        app.send_task("queue.fails", kwargs={"password": "hunter2"}, ignore_result=True)
        app.send_task("queue.unheard_of", kwargs={"password": "hunter2"}, ignore_result=True)
    events = ('"said"', "raised unexpected", "task-rejected")
    wait_until(lambda: all(event in worker.output() for event in events))
    [said] = [line for line in log_lines(worker) if line["event"] == "said"]
    assert (said["correlation_id"], said["role"], said["word"]) == ("trace-1", "worker", "aloud")
    assert "hunter2" not in worker.output()


def test_children_learn_of_the_shutdown(app: BridgeCelery, celery_processes: Any, redis_url: str) -> None:
    worker = celery_processes.worker("hooks", **MODULE)
    app.send_task("queue.waits_for_shutdown", ignore_result=True)
    client = redis.Redis.from_url(redis_url)
    wait_until(lambda: client.get("waits") == b"begun")
    os.kill(worker.pid, signal.SIGTERM)
    worker.process.wait(15)
    assert client.get("waits") == b"told"


def test_a_worker_outlives_redis(app: BridgeCelery, celery_processes: Any, valkey_server: Any) -> None:
    worker = celery_processes.worker("hooks", **MODULE)
    valkey_server.kill()
    wait_until(lambda: "Trying again" in worker.output() or "Connection to broker lost" in worker.output())
    valkey_server.restart()
    wait_until(lambda: _sent(app, "again"), 20)
    wait_until(lambda: any(line.get("word") == "again" for line in log_lines(worker)), 40)


def test_a_worker_finds_work_after_a_flush(app: BridgeCelery, celery_processes: Any, redis_url: str) -> None:
    worker = celery_processes.worker("hooks", **MODULE)
    redis.Redis.from_url(redis_url).flushall()
    assert _sent(app, "after the flush")
    wait_until(lambda: any(line.get("word") == "after the flush" for line in log_lines(worker)))


def _sent(app: BridgeCelery, word: str) -> bool:
    from kombu.exceptions import OperationalError

    try:
        app.send_task("queue.says", args=[word], ignore_result=True)
    except OperationalError:
        return False
    return True


def test_a_result_may_be_asked_for(app: BridgeCelery, celery_processes: Any) -> None:
    celery_processes.worker("hooks")
    app.loader.import_default_modules()
    result = app.tasks["demo.fib"].apply_async([10], ignore_result=False)
    assert result.get(timeout=20) == 55


def test_a_users_queue_needs_no_declaration(app: BridgeCelery, celery_processes: Any) -> None:
    worker = celery_processes.worker("my-own-queue", **MODULE)
    app.send_task("queue.says", args=["hello"], queue="my-own-queue", ignore_result=True)
    wait_until(lambda: any(line.get("word") == "hello" for line in log_lines(worker)))
