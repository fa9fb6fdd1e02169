"""Steps that take their process along, or keep it: they are given up, and nothing beside them is harmed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.integration.conftest import CeleryProcesses, wait_until
from tests.integration.tasks.workflows.conftest import TASKS
from tests.integration.tasks.workflows.engine import Engine

pytestmark = pytest.mark.timeout(120)

NEIGHBOURS = {f"n{number}" for number in range(20)}
POISONS = {
    # What ends the process is noticed by the lease; what can be caught is a failed attempt.
    "segfault": "WorkerLost",
    "stuck": "WorkerLost",
    "hungry": "MemoryError",
    "exit": "SystemExit",
    "odd": "CancelledError",
}


def task(key: str, name: str, **more: Any) -> dict[str, Any]:
    args = more.pop("args", {})
    return {"key": key, "kind": "task", "with": {"task": name, "args": args}, **more}


@pytest.fixture(scope="module")
def killed(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[UUID, datetime]]:
    """The run of a worker with the default lease that was killed at its step, and when: others need not wait."""
    processes = CeleryProcesses(engine.settings, tmp_path_factory.mktemp("killed"))
    worker = processes.worker("fragile", concurrency=1, OMNINODE_IMPORTS=TASKS, WORKFLOW_QUEUES="workflows,fragile")
    run_id = engine.submit({"steps": [task("s", "test.sleep", args={"seconds": 60}, queue="fragile")]})
    engine.wait_step(run_id, "s", "running")
    worker.kill()
    yield run_id, datetime.now(UTC)
    processes.close()


@pytest.mark.usefixtures("killed")
def test_poison_is_given_up_and_its_neighbours_end_well(engine: Engine) -> None:
    steps = [task(key, "test.effect") for key in sorted(NEIGHBOURS)]
    retry = {"max_attempts": 2, "backoff_s": 0.05}
    poison = task("poison", "test.poison", args={"how": "${{ input.how }}"}, retry=retry, timeout_s=1)
    definition = {"on_failure": "continue", "steps": [*steps[:10], poison, *steps[10:]]}
    # Harmless at first, so that all of them are known to be short, and travel and end together.
    assert engine.run(definition, {"how": ""})["state"] == "succeeded"
    run_ids = {how: engine.submit(definition, {"how": how}) for how in POISONS}
    for how, run_id in run_ids.items():
        engine.wait(run_id, seconds=60)
        [row] = engine.rows(
            "SELECT state, error_code, attempt FROM steps WHERE run_id = %(id)s AND key = 'poison'", id=run_id
        )
        assert (row["state"], row["error_code"], row["attempt"]) == ("failed", POISONS[how], 2), how
        assert engine.steps(run_id) == {**dict.fromkeys(NEIGHBOURS, "succeeded"), "poison": "failed"}, how
        assert engine.effects(run_id) == dict.fromkeys(NEIGHBOURS, 1), how


def test_a_step_that_forks_ends_once(engine: Engine) -> None:
    definition = {
        "steps": [
            *(task(key, "test.effect") for key in sorted(NEIGHBOURS)),
            task("fork", "test.poison", args={"how": "fork"}),
        ]
    }
    for _ in range(3):
        run_id = engine.submit(definition)
        assert engine.wait(run_id)["output"]["fork"] == "fork"
        assert engine.effects(run_id) == dict.fromkeys([*NEIGHBOURS, "fork"], 1)
    # Of the worker four, of the clock's two; some may be new, in the place of those that other poisons took along.
    wait_until(lambda: len(engine.processes()) == 6, what="the end of what was forked")


def test_a_step_that_computes_keeps_its_lease_and_is_in_nobodys_way(engine: Engine) -> None:
    keys = [f"s{n}" for n in range(8)]
    spin = task("spin", "test.spin", args={"seconds": "${{ input.seconds }}"})
    definition = {
        "steps": [*(task(key, "test.echo") for key in keys[:4]), spin, *(task(k, "test.echo") for k in keys[4:])]
    }
    # What is stuck keeps its process until the watchdog ends that: all four are to be free.
    free = engine.submit(
        {"name": "free", "steps": [task(f"f{n}", "test.sleep", args={"seconds": 60}) for n in range(4)]}
    )
    engine.wait_running(free, 4)
    engine.service.cancel(free, "test")
    # Each process of the worker is to have learned that the steps are short, so that it takes them together.
    for _ in range(12):
        assert engine.run(definition, {"seconds": 0.0})["state"] == "succeeded"
    # Three leases of 2 s; what travels in the same message is given back, which takes half a second and a tick of the
    # clock, and done by others; what was done before it is ended without it.
    run_id = engine.submit(definition, {"seconds": 6.0})
    assert engine.wait(run_id)["state"] == "succeeded"
    rows = engine.rows("SELECT key, attempt, finished_at FROM steps WHERE run_id = %(id)s", id=run_id)
    ended = {row["key"]: row["finished_at"] for row in rows}
    assert {row["attempt"] for row in rows} == {1}
    # Ended in one statement with it they would be earlier too, by microseconds.
    late = {key: ended["spin"] - ended[key] for key in keys if ended["spin"] - ended[key] < timedelta(seconds=1)}
    assert late == {}


def test_by_default_a_death_is_noticed_within_15_seconds(engine: Engine, killed: tuple[UUID, datetime]) -> None:
    run_id, killed_at = killed
    engine.wait_step(run_id, "s", "ready")
    [told] = engine.rows(
        "SELECT recorded_at FROM journal WHERE aggregate_id = %(id)s AND payload->>'reason' = 'lease expired'",
        id=f"{run_id}/s",
    )
    assert told["recorded_at"] - killed_at < timedelta(seconds=15)
