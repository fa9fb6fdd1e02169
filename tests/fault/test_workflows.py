"""Workflows while workers are killed, Valkey is emptied, PostgreSQL restarted, messages doubled and shuffled."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg2
import pytest
import redis
from kombu.exceptions import OperationalError

from tasks.errors import BridgeError
from tests.fault.chaos import Chaos
from tests.integration.tasks.workflows.engine import Engine

TASKS = "tests.integration.tasks.workflows.engine_tasks"
LEASE_S = "2"
RUNS_A_ROUND = 60
KILLS_A_ROUND = 4
# Of five rounds: how often Valkey is emptied, and PostgreSQL killed and started again.
OTHERS_IN_FIVE = 3
SETTLED_WITHIN_S = 120.0
_RETRY = {"max_attempts": 50, "backoff_s": 0.05, "max_backoff_s": 0.5}


def _task(key: str, needs: list[str], value: int = 1, name: str = "test.slow-effect") -> dict[str, Any]:
    args = {"seconds": 0.004, "value": value} if name == "test.slow-effect" else {"until": 2}
    return {"key": key, "kind": "task", "needs": needs, "retry": _RETRY, "with": {"task": name, "args": args}}


def _graph() -> dict[str, Any]:
    """33 steps: three levels of eight, each after two of the level above, and what fails first, waits and maps."""
    steps = [_task("root", [])]
    for level in range(3):
        for n in range(8):
            above = ["root"] if level == 0 else sorted({f"l{level - 1}-{n}", f"l{level - 1}-{(n + 1) % 8}"})
            steps.append(_task(f"l{level}-{n}", above, value=n))
    steps += [_task(f"flaky-{n}", ["root"], name="test.flaky") for n in range(3)]
    steps += [{"key": f"nap-{n}", "kind": "wait", "needs": [f"l0-{n}"], "with": {"seconds": 0.2}} for n in range(2)]
    inner = {"kind": "task", "retry": _RETRY, "with": {"task": "test.effect", "args": {"value": "${{ item * 2 }}"}}}
    steps += [
        {"key": f"map-{n}", "kind": "map", "needs": [f"l1-{n}"], "with": {"over": [1, 2, 3, 4], "step": inner}}
        for n in range(2)
    ]
    ends = [f"l2-{n}" for n in range(8)] + [f"flaky-{n}" for n in range(3)] + ["nap-0", "nap-1", "map-0", "map-1"]
    steps.append({**_task("end", ends), "outputs": {"map": "${{ steps['map-0'].output }}", "end": "${{ output }}"}})
    return {"steps": steps}


GRAPH = _graph()
EFFECTS = {step["key"] for step in GRAPH["steps"] if step["with"].get("task") == "test.slow-effect"} | {
    f"map-{n}/{index}" for n in range(2) for index in range(4)
}


class Workflows(Chaos):
    """The same with a clock, which beat drives, and an engine to submit to."""

    def __init__(self, folder: Path, logs: Path) -> None:
        environ = {"OMNINODE_IMPORTS": TASKS, "WORKFLOW_LEASE_S": LEASE_S, "BRIDGE_SLICE_S": "2"}
        super().__init__(folder, logs, "workflows", environ, seed=7)
        self.engine = Engine(self.settings)
        self.start("bridges")
        self._told_at = 0.0
        self._doubled: set[str] = set()

    def close(self) -> None:
        """Ends everything."""
        self.engine.close()
        super().close()

    def beat(self) -> None:
        """What beat does: sends the clock's safety net. And doubles and shuffles what waits in the queues.

        Each message is doubled once: copies of copies would be 2^n of them, more than Valkey holds.
        """
        if time.monotonic() - self._told_at < 1.0:
            return
        self._told_at = time.monotonic()
        self.engine.app.send_task("workflows.clock", queue="bridges", expires=10)
        client = self.redis()
        for name in ("workflows", "workflows\x06\x163", "workflows\x06\x166"):
            waiting = client.lrange(name, 0, -1)
            assert isinstance(waiting, list)
            fresh = sorted({message for message in map(str, waiting) if message not in self._doubled})
            if fresh:
                self._doubled.update(fresh)
                self.random.shuffle(fresh)
                client.rpush(name, *fresh)

    def open(self, run_ids: list[UUID]) -> int:
        """How many of the runs have not ended."""
        found = self.engine.rows(
            "SELECT count(*) AS count FROM runs WHERE id = ANY(%(ids)s::uuid[]) AND finished_at IS NULL",
            ids=[str(each) for each in run_ids],
        )
        return int(found[0]["count"])


@pytest.fixture
def chaos(server_folder: Path, tmp_path: Path) -> Iterator[Workflows]:
    folder = server_folder / f"workflows-{os.urandom(4).hex()}"
    folder.mkdir(mode=0o711)
    made = Workflows(folder, tmp_path)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_run_ends_right_and_every_effect_happens_once(chaos: Workflows, request: pytest.FixtureRequest) -> None:
    rounds = request.config.getoption("--rounds", default=1)
    others = math.ceil(OTHERS_IN_FIVE * rounds / 5)
    faults = [chaos.kill_a_worker] * (KILLS_A_ROUND * rounds) + [chaos.flush] * others
    faults += [chaos.restart_postgres] * others
    chaos.random.shuffle(faults)
    for worker in chaos.workers:
        worker.wait_for(" ready.")
    run_ids = [chaos.engine.submit(GRAPH) for _ in range(RUNS_A_ROUND * rounds)]
    next_at, deadline = time.monotonic(), time.monotonic() + SETTLED_WITHIN_S * rounds
    while True:
        try:
            chaos.beat()
            left = chaos.open(run_ids)
        except (BridgeError, OperationalError, redis.RedisError, psycopg2.OperationalError):
            left = 1
        if not left and not faults:
            break
        if faults and time.monotonic() > next_at:
            faults.pop()()
            next_at = time.monotonic() + chaos.random.uniform(0.4, 1.6)
        assert time.monotonic() < deadline, f"{left} runs are stuck: {_stuck(chaos, run_ids)}"
        time.sleep(0.1)
    runs = chaos.engine.rows(
        "SELECT id, state, output FROM runs WHERE id = ANY(%(ids)s::uuid[])", ids=[str(each) for each in run_ids]
    )
    assert {(run["state"], str(run["output"])) for run in runs} == {
        ("succeeded", str({"end": 1, "map": [2, 4, 6, 8]}))
    }
    wrong = {run["id"]: chaos.engine.effects(run["id"]) for run in runs}
    assert {run: made for run, made in wrong.items() if made != dict.fromkeys(EFFECTS, 1)} == {}


def _stuck(chaos: Workflows, run_ids: list[UUID]) -> list[dict[str, Any]]:
    return chaos.engine.rows(
        "SELECT runs.id, runs.state AS run, runs.open_leaves, steps.key, steps.state, steps.attempt, steps.pending,"
        " steps.due_at - now() AS due FROM runs JOIN steps ON run_id = runs.id WHERE runs.finished_at IS NULL"
        " AND steps.finished_at IS NULL AND runs.id = ANY(%(ids)s::uuid[]) LIMIT 20",
        ids=[str(each) for each in run_ids],
    )


@pytest.mark.timeout(120)
def test_a_worker_that_was_stopped_past_its_lease_is_fenced(chaos: Workflows) -> None:
    [first, second] = chaos.workers
    second.kill()
    first.wait_for(" ready.")
    step = {"key": "s", "kind": "task", "with": {"task": "test.slow-effect", "args": {"seconds": 1.5}}}
    run_id = chaos.engine.submit({"steps": [step]})
    chaos.engine.wait_step(run_id, "s", "running")
    family = [psutil.Process(first.pid), *psutil.Process(first.pid).children(recursive=True)]
    for process in family:
        process.suspend()
    chaos.workers[1] = chaos.start("workflows")
    began = time.monotonic()
    while chaos.engine.state(run_id) != "succeeded":
        chaos.beat()
        assert time.monotonic() - began < 60
        time.sleep(0.1)
    for process in family:
        os.kill(process.pid, signal.SIGCONT)
    # The stopped one goes on with an attempt that is no longer its own, and says so when it wants to end it.
    first.wait_for("step-lease-lost")
    assert chaos.engine.effects(run_id) == {"s": 1}
    assert chaos.engine.steps(run_id) == {"s": "succeeded"}
    [row] = chaos.engine.rows("SELECT attempt FROM steps WHERE run_id = %(id)s", id=run_id)
    assert row["attempt"] == 2
