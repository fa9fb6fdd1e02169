"""Routes and schedule, as pure data."""

from __future__ import annotations

import pytest

from tasks.queue.configuration import configuration, route, worker_overrides
from tasks.settings import load_settings

SETTINGS = load_settings(
    {"DATABASE_URL": "postgresql://u@h/d", "REDIS_URL": "redis://h/0", "OMNINODE_IMPORTS": "mine.tasks"}
)


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        ("hooks.handle", "hooks"),
        ("hooks.sweep", "bridges"),
        ("hooks.retention", "bridges"),
        ("states.sweep", "bridges"),
        ("journal.partitions", "bridges"),
        ("access.retention", "bridges"),
        ("bridges.relay", "bridges"),
        ("workflows.step", "workflows"),
        ("metrics.rollup", "metrics"),
        ("lab.execute", "lab"),
        ("lab.sweep", "bridges"),
    ],
)
def test_tasks_go_to_the_queue_of_their_family(name: str, queue: str) -> None:
    assert route(name, (), {}, {}) == {"queue": queue}


def test_a_users_task_goes_where_its_options_say() -> None:
    assert route("mine.task", (), {}, {}) is None


def test_the_schedule_holds_the_housekeeping_and_all_of_it_expires() -> None:
    schedule = configuration(SETTINGS)["beat_schedule"]
    assert {
        "hooks.sweep",
        "hooks.retention",
        "journal.partitions",
        "states.sweep",
        "access.retention",
        "bridges.relay",
        "bridges.drain",
    } <= set(schedule)
    for entry in schedule.values():
        assert entry["options"]["queue"] == ("lab" if entry["task"] == "lab.check" else "bridges")
        assert entry["options"]["expires"] >= entry["schedule"].total_seconds()


def test_users_modules_and_extra_modules_are_imported() -> None:
    imports = configuration(SETTINGS, ["bridges.mirror.jobs"])["imports"]
    assert "mine.tasks" in imports
    assert "bridges.mirror.jobs" in imports


def test_publishing_is_swift_and_workers_are_patient() -> None:
    made, worker = configuration(SETTINGS), worker_overrides(SETTINGS)
    assert made["broker_transport_options"]["socket_timeout"] < 0.5
    assert made["task_publish_retry"] is False
    assert worker["broker_transport_options"]["socket_timeout"] >= 5
    assert worker["task_publish_retry"] is True
    assert made["broker_connection_max_retries"] is None
