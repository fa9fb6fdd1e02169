"""The whole way, with real processes: a user's task on a worker, the drain on another, rows and journal agree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.queue.app import BridgeCelery, create_celery
from tasks.queue.hints import send_hint
from tasks.runtime import Runtime
from tasks.settings import Settings
from tasks.states.service import TaskStateService
from tests.integration.conftest import wait_until

ROOT = Path(__file__).parent.parent.parent.parent.parent
USER = {
    "OMNINODE_IMPORTS": "user_tasks",
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "integration" / "tasks" / "stream")]),
}
DRAINING = {"BRIDGE_SLICE_S": "1", **USER}


@pytest.fixture
def app(settings: Settings) -> Iterator[BridgeCelery]:
    made = create_celery(settings, "test")
    yield made
    made.close()


@pytest.fixture
def states(runtime: Runtime) -> TaskStateService:
    return TaskStateService(runtime.db)


def state_of(states: TaskStateService, task_id: str) -> str | None:
    found = {task["task_id"]: task["state"] for task in states.list(limit=1000).items}
    return found.get(task_id)


def journal_is_sound(runtime: Runtime) -> None:
    """Each event once, and each task's versions without a gap, up to its row's."""
    with runtime.db.transaction() as tx:
        assert (
            tx.all(
                "SELECT task_states.task_id FROM task_states"
                " LEFT JOIN journal ON aggregate_type = 'task' AND aggregate_id = task_id"
                " GROUP BY task_states.task_id"
                " HAVING count(event_id) <> max(task_states.version)"
                " OR count(DISTINCT event_id) <> count(event_id)"
                " OR count(DISTINCT journal.version) <> max(journal.version)"
            )
            == []
        )


def test_a_users_tasks_are_mirrored(
    app: BridgeCelery, celery_processes: Any, runtime: Runtime, states: TaskStateService
) -> None:
    celery_processes.worker("hooks", **USER)
    celery_processes.worker("bridges", app="bridges.celery", concurrency=2, **DRAINING)
    send_hint(app, "bridges.drain", [], queue="bridges")
    good = app.send_task("user.add", args=[1, 2], ignore_result=True).id
    bad = app.send_task("user.fail", args=["no"], ignore_result=True).id
    flaky = app.send_task("user.flaky", args=[2], ignore_result=True).id
    unknown = app.send_task("user.unheard_of", ignore_result=True).id
    for task_id, state in ((good, "succeeded"), (bad, "failed"), (flaky, "succeeded"), (unknown, "rejected")):
        wait_until(lambda i=task_id, s=state: state_of(states, i) == s)
    assert states.get(flaky)["attempt"] == 2
    journal_is_sound(runtime)


def test_the_drain_goes_on_from_slice_to_slice_and_after_a_flush(
    app: BridgeCelery, celery_processes: Any, runtime: Runtime, states: TaskStateService, redis_url: str
) -> None:
    celery_processes.worker("hooks", **USER)
    celery_processes.worker("bridges", app="bridges.celery", **DRAINING)
    celery_processes.beat(SWEEP_INTERVAL_S="1")
    for round_number in range(3):
        task_id = app.send_task("user.add", args=[1, round_number], ignore_result=True).id
        wait_until(lambda i=task_id: state_of(states, i) == "succeeded")
        redis.Redis.from_url(redis_url).flushall()
    journal_is_sound(runtime)


def test_bridge_workers_that_are_killed_repeat_nothing(
    app: BridgeCelery, celery_processes: Any, runtime: Runtime, states: TaskStateService
) -> None:
    celery_processes.worker("hooks", **USER)
    sent: list[str] = []
    for enough in (50, 250, 450):
        bridge = celery_processes.worker("bridges", app="bridges.celery", concurrency=1, **DRAINING)
        send_hint(app, "bridges.drain", [], queue="bridges")
        sent += [app.send_task("user.add", args=[1, n], ignore_result=True).id for n in range(200)]
        wait_until(lambda n=enough: len(states.list(state="succeeded", name="user.add", limit=1000).items) > n)
        bridge.kill()
    celery_processes.worker("bridges", app="bridges.celery", **DRAINING)
    send_hint(app, "bridges.drain", [], queue="bridges")
    wait_until(lambda: len(states.list(state="succeeded", name="user.add", limit=1000).items) == len(sent))
    journal_is_sound(runtime)
    with runtime.db.transaction() as tx:
        row = tx.one("SELECT count(*) AS rows FROM journal WHERE aggregate_id = ANY(%(ids)s)", {"ids": sent})
    assert row == {"rows": 4 * len(sent)}


def test_postgresql_away_loses_nothing(
    app: BridgeCelery, celery_processes: Any, runtime: Runtime, states: TaskStateService, postgres_server: Any
) -> None:
    celery_processes.worker("hooks", **USER)
    celery_processes.worker("bridges", app="bridges.celery", **DRAINING)
    celery_processes.beat(SWEEP_INTERVAL_S="1")
    first = app.send_task("user.add", args=[1, 1], ignore_result=True).id
    wait_until(lambda: state_of(states, first) == "succeeded")
    postgres_server.stop()
    sent = [app.send_task("user.add", args=[1, n], ignore_result=True).id for n in range(20)]
    client = redis.Redis.from_url(runtime.settings.redis_url)
    wait_until(lambda: client.llen("hooks") == 0)
    postgres_server.restart()
    runtime.close()
    wait_until(lambda: all(state_of(states, task_id) == "succeeded" for task_id in sent), 40)
    journal_is_sound(runtime)
