"""Every attempt is recorded, that of a killed process too; one that nobody let finish says nothing of its model."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.lab.asking import AskRequest
from tasks.lab.attempting import Listener
from tasks.lab.service import LabService
from tasks.metrics.applying import Applier
from tasks.runtime import Runtime
from tasks.settings import Settings
from tests.integration.conftest import ROOT, wait_until
from tests.integration.tasks.lab.conftest import Add
from tests.lab_server import Behaviour, Gate, LabServer

Executions = Callable[[], list[dict[str, Any]]]
LEASE_S = 1.0


@pytest.fixture
def runtime(settings: Settings) -> Any:
    made = Runtime(dataclasses.replace(settings, lab_attempt_lease_s=LEASE_S), "test")
    yield made
    made.close()


def under_way(db: Database) -> int:
    with db.transaction() as tx:
        return len(tx.all("SELECT FROM lab_attempts"))


def leased_until(db: Database) -> datetime:
    with db.transaction() as tx:
        row = tx.one("SELECT lease_until FROM lab_attempts")
    assert row is not None
    until: datetime = row["lease_until"]
    return until


def test_a_killed_processs_attempt_is_recorded_and_that_of_a_living_one_is_left_alone(
    runtime: Runtime, lab: LabService, lab_server: LabServer, add: Add, executions: Executions, db: Database
) -> None:
    gate = Gate()
    lab_server.behave("m", Behaviour(gate=gate))
    add(lab_server, "one")
    settings = runtime.settings
    environ = {**os.environ, "DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    environ["LAB_ATTEMPT_LEASE_S"] = str(LEASE_S)
    command = [sys.executable, "-m", "tests.integration.tasks.lab.lab_processes", "hi", "60"]
    killed = subprocess.Popen(command, env=environ, cwd=ROOT)
    wait_until(lambda: gate.inside == 1)
    killed.kill()
    killed.wait()
    living = threading.Thread(target=lambda: lab.ask(AskRequest("ho", task_type="testing"), 60))
    living.start()
    wait_until(lambda: under_way(db) == 2)
    wait_until(lambda: lab.sweep() == 1, what="the killed process's attempt")
    [row] = executions()
    assert (row["success"], row["error_type"], row["model"], row["endpoint"]) == (False, "abandoned", "m", "one")
    assert row["task_type"] == "general_reasoning"
    assert 0 <= row["latency_ms"] < 60_000
    # The other one outlives its lease by being renewed.
    first = leased_until(db)
    wait_until(lambda: leased_until(db) - first > timedelta(seconds=LEASE_S))
    assert lab.sweep() == 0
    assert under_way(db) == 1
    gate.opened.set()
    living.join(30)
    wait_until(lambda: lab.sweep() == 0 and under_way(db) == 0)
    assert [row["error_type"] for row in executions()] == ["abandoned", None]
    # Nobody let the first one finish: it says nothing of the model.
    while Applier(db, settings).apply_small():
        pass
    with db.transaction() as tx:
        rows = tx.all("SELECT task_type, executions, successes FROM model_rollups WHERE grain = 'day'")
    assert rows == [{"task_type": "testing", "executions": 1, "successes": 1}]


def test_a_question_that_breaks_leaves_the_record_to_the_sweeper(
    lab: LabService, lab_server: LabServer, add: Add, executions: Executions, db: Database
) -> None:
    lab_server.behave("m")
    add(lab_server, "one")

    def breaks(_text: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lab.ask(AskRequest("hi", metadata={"ticket": 7}), 10, Listener(text=breaks))
    assert executions() == []
    wait_until(lambda: lab.sweep() == 1)
    assert lab.sweep() == 0
    [row] = executions()
    assert (row["error_type"], row["metadata"]) == ("abandoned", {"ticket": 7, "tokens_not_told": True})
    assert under_way(db) == 0
