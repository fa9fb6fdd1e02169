"""Steps wait in the queue of their kind: slow models hold up nothing else, whoever stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.lab.administration import new_endpoint
from tasks.lab.service import lab_of
from tasks.workflows.known import known
from tests.integration.conftest import CeleryProcess, CeleryProcesses, wait_until
from tests.integration.tasks.workflows import engine_tasks
from tests.integration.tasks.workflows.conftest import TASKS
from tests.integration.tasks.workflows.engine import Engine
from tests.lab_server import Behaviour, Gate, LabServer

Worker = Callable[..., CeleryProcess]
_THREADS = 6


@pytest.fixture
def workers(engine: Engine, tmp_path: Path) -> Iterator[Worker]:
    """Starts workers of threads, as the lab's is."""
    processes = CeleryProcesses(engine.settings, tmp_path)

    def start(*queues: str) -> CeleryProcess:
        environ = {"OMNINODE_IMPORTS": TASKS, "WORKFLOW_LEASE_S": "2"}
        return processes.worker(*queues, pool="threads", concurrency=_THREADS, **environ)

    yield start
    processes.close()


@pytest.fixture
def held(engine: Engine, lab_server: LabServer) -> Iterator[Gate]:
    """A model that answers when its gate is opened, and beside it one that answers at once."""
    gate = Gate()
    lab_server.behave("slow", Behaviour(gate=gate))
    lab_server.behave("quick")
    endpoints = lab_of(engine.app.bridge).endpoints
    values = {"name": "models", "kind": "openai", "url": lab_server.url, "tier": "small", "max_concurrency": 100}
    endpoints.add(new_endpoint(values))
    yield gate
    gate.opened.set()
    endpoints.remove("models")


def ask(key: str, model: str = "slow", **more: Any) -> dict[str, Any]:
    return {"key": key, "kind": "ai", "with": {"prompt": "hi", "model": model}, **more}


def echo(key: str, *needs: str) -> dict[str, Any]:
    return {"key": key, "kind": "task", "needs": list(needs), "with": {"task": "test.echo"}}


def outcomes(engine: Engine, run_id: Any) -> list[Any]:
    """What the recorded attempts of a run failed of; None: they did not."""
    sql = "SELECT error_type FROM model_executions WHERE metadata ->> 'run_id' = %(id)s ORDER BY id"
    return [row["error_type"] for row in engine.rows(sql, id=str(run_id))]


def test_slow_models_hold_up_nothing_but_each_other(engine: Engine, workers: Worker, held: Gate) -> None:
    asked = engine.submit({"steps": [*(ask(f"a{n}") for n in range(40)), echo("after", "a0")]})
    listed = {"over": [1, 2, 3], "step": {"kind": "ai", "with": {"prompt": "hi", "model": "slow"}}}
    mapped = engine.submit({"steps": [{"key": "each", "kind": "map", "with": listed}, echo("sum", "each")]})
    engine.wait_step(mapped, "each", "waiting")
    # Of a run that allows only so many steps at once, those of another queue are sent there.
    narrow = {"max_parallel": 1, "steps": [echo("one"), ask("two", "quick", needs=["one"]), echo("three", "two")]}
    limited = engine.submit(narrow)
    engine.wait_step(limited, "one", "succeeded")
    # There is no worker of the lab yet: all of them wait, and a run of other steps does not.
    assert engine.run({"steps": [echo("x"), echo("y", "x")]})["state"] == "succeeded"
    assert set(engine.steps(asked).values()) == {"ready", "pending"}
    workers("lab")
    wait_until(lambda: held.inside == _THREADS, what="as many calls as the worker has threads")
    for _ in range(3):
        assert engine.run({"steps": [echo("x"), echo("y", "x")]})["state"] == "succeeded"
    assert held.inside == _THREADS
    held.opened.set()
    assert engine.wait(asked)["state"] == engine.wait(mapped)["state"] == "succeeded"
    assert engine.wait(limited)["output"] == {"three": {}}
    assert outcomes(engine, asked) == [None] * 40
    assert outcomes(engine, mapped) == [None] * 3


def test_a_step_waits_in_its_kinds_queue_or_in_one_of_its_own(engine: Engine, workers: Worker, held: Gate) -> None:
    first = {"key": "a", "kind": engine_tasks.own.__name__, "with": {"n": 1}}
    second = {"key": "b", "kind": "own", "needs": ["a"], "with": {"n": "${{ steps.a.output }}"}}
    users = engine.submit({"steps": [first, second]})
    steps = [ask("here", "quick", queue="workflows"), ask("there", "quick", needs=["here"])]
    asked = engine.submit({"steps": steps})
    engine.wait_step(asked, "there", "ready")
    # A user's kind has a queue too, and nothing else waits for a worker of it.
    assert engine.steps(users) == {"a": "ready", "b": "pending"}
    workers("own", "lab")
    assert engine.wait(users)["output"] == {"b": 3}
    assert engine.wait(asked)["state"] == "succeeded"
    rows = engine.rows("SELECT queue FROM steps WHERE run_id = %(id)s ORDER BY place", id=asked)
    assert [row["queue"] for row in rows] == ["workflows", "lab"]
    assert {"workflows", "lab", "own"} <= set(known(engine.settings).queues or ())


def test_a_called_off_run_breaks_its_call_off_and_a_stopped_worker_gives_its_step_back(
    engine: Engine, workers: Worker, held: Gate
) -> None:
    worker = workers("lab")
    cancelled = engine.submit({"steps": [ask("a")]})
    wait_until(lambda: held.inside == 1)
    engine.service.cancel(cancelled, "test")
    wait_until(lambda: outcomes(engine, cancelled) == ["cancelled"], what="the broken off call's record")
    assert engine.steps(cancelled) == {"a": "cancelled"}
    stopped = engine.submit({"steps": [ask("b")]})
    wait_until(lambda: held.inside == 2)
    worker.stop()
    assert engine.steps(stopped) == {"b": "ready"}
    assert outcomes(engine, stopped) == ["cancelled"]
    held.opened.set()
    workers("lab")
    assert engine.wait(stopped)["state"] == "succeeded"
    assert outcomes(engine, stopped) == ["cancelled", None]
    # Being stopped is no attempt.
    assert engine.rows("SELECT attempt FROM steps WHERE run_id = %(id)s", id=stopped) == [{"attempt": 1}]
