"""Runs of workflows for benches: what they are, the worker that carries them, and how long they take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any
from uuid import UUID

import psutil

from tasks.db.pool import Database
from tasks.queue.app import create_celery
from tasks.workflows.definition.model import WorkflowDefinition
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.hints import hint_runs
from tasks.workflows.service import WorkflowService
from tasks.workflows.submitting import Submission
from tests.bench.baselines import step_tasks
from tests.bench.model import BenchError, Plan
from tests.bench.servers import Ground, Program, family
from tests.bench.system import ground_of

FIB = 10
WIDTH = 8
LEVELS = 4
WORKERS = ("--concurrency", "2")
WITHIN_S = 120.0
_POLL_S = 0.005
_ENDED = """
SELECT count(*) FILTER (WHERE finished_at IS NULL) AS open, extract(epoch FROM max(finished_at))::float AS ended_at,
       count(*) FILTER (WHERE finished_at IS NOT NULL AND state <> 'succeeded') AS failed
FROM runs WHERE id = ANY(%(ids)s::uuid[])
"""
_INSIDE = """
SELECT extract(epoch FROM max(finished_at) - min(started_at))::float AS seconds FROM steps WHERE run_id = %(id)s
"""


@contextmanager
def runs_of(plan: Plan) -> Iterator[WorkflowRuns]:
    """Workers that a bench has for itself; smoke runs have those of the system that they share."""
    with ExitStack() as stack:
        if plan.standing is None:
            made = WorkflowRuns(stack.enter_context(ground_of(plan)))
        else:
            system = plan.standing.system
            made = WorkflowRuns(system.ground, [system.workers["worker"], system.workers["bridge_worker"]])
        stack.callback(made.close)
        yield made


class WorkflowRuns:
    """Our side: ``standing`` workers, or own ones on the ground's servers, and the service that submits to them."""

    def __init__(self, ground: Ground, standing: Sequence[Program] = ()) -> None:
        self.environ = ground.environ(LOG_LEVEL="WARNING", OMNINODE_IMPORTS=step_tasks.NAME)
        self.ground = ground
        self.programs = standing or [
            ground.worker("workflows", "tasks.celery", "-Q", "workflows", *WORKERS, environ=self.environ),
            ground.worker("clock", "tasks.celery", "-Q", "bridges", "--concurrency", "1", environ=self.environ),
        ]
        self._app = create_celery(ground.settings(), role="bench")
        self._app.send_task("workflows.clock", queue="bridges")
        self._db = Database(ground.settings(), "bench")
        self._last: list[UUID] = []

    @cached_property
    def _service(self) -> WorkflowService:
        return WorkflowService(self._db, self.ground.settings(), hint_runs(self._app))

    def close(self) -> None:
        """Ends what this process has open; the ground ends the workers."""
        self._db.close()
        self._app.bridge.close()
        self._app.close()

    def seconds(self, definitions: Sequence[WorkflowDefinition]) -> float:
        """From the first submission to the end of the last run, as it is written in its row.

        Raises:
            BenchError: one did not succeed, or did not end in time.
        """
        began = time.time()
        self._last = [
            self._service.submit(Submission(definition=each, submitted_by="bench")).run_id for each in definitions
        ]
        deadline = time.monotonic() + WITHIN_S
        while True:
            with self._db.autocommit() as tx:
                row = tx.one(_ENDED, {"ids": self._last}) or {}
            if row["failed"]:
                raise BenchError(f"{row['failed']} runs did not succeed")
            if not row["open"]:
                return float(row["ended_at"]) - began
            if time.monotonic() > deadline:
                raise BenchError(f"{row['open']} runs did not end within {WITHIN_S:g} s")
            time.sleep(_POLL_S)

    def inside_s(self) -> float:
        """Of the run that was submitted last: from its first step's begin to its last step's end."""
        with self._db.autocommit() as tx:
            row = tx.one(_INSIDE, {"id": self._last[-1]}) or {}
        return float(row["seconds"])

    def worker(self, name: str, processes: int) -> Program:
        """One more worker, which answers when this returns."""
        concurrency = ("--concurrency", str(processes))
        program = self.ground.worker(name, "tasks.celery", "-Q", "workflows", *concurrency, environ=self.environ)

        def answers() -> bool:
            replies = self._app.control.ping(timeout=1.0)
            return any(node.startswith(f"{name}@") for reply in replies for node in reply)

        program.wait_until(answers)
        return program

    def memory(self) -> dict[int, int]:
        """Bytes that each of the workers' processes has to itself, by its id."""
        found: dict[int, int] = {}
        for program in self.programs:
            for process in family(program.pid):
                try:
                    found[process.pid] = process.memory_full_info().uss
                except psutil.NoSuchProcess:
                    continue
        return found


def line(count: int) -> WorkflowDefinition:
    """Steps one after the other."""
    return _definition("bench-line", [_step(f"s{n}", [f"s{n - 1}"] if n else []) for n in range(count)])


def fan(width: int) -> WorkflowDefinition:
    """Steps side by side, and a join."""
    keys = [f"s{n}" for n in range(width)]
    return _definition("bench-fan", [*(_step(key, []) for key in keys), _step("join", keys, 0)])


def graph(nap_s: float | None = None) -> WorkflowDefinition:
    """One that is not series-parallel: each step after two of the level above; with naps its steps take that long."""
    steps = [_step("root", [], 0, nap_s)]
    for level in range(LEVELS):
        for n in range(WIDTH):
            above = {f"l{level - 1}-{n}", f"l{level - 1}-{(n + 1) % WIDTH}"} if level else {"root"}
            steps.append(_step(f"l{level}-{n}", sorted(above), 0, nap_s))
    return _definition("bench-graph" if nap_s is None else f"bench-naps-{nap_s}", steps)


def layers(count: int) -> WorkflowDefinition:
    """The same shape in any size: levels of ten steps."""
    steps = []
    for n in range(count):
        level, place = divmod(n, 10)
        above = {f"l{level - 1}-{place}", f"l{level - 1}-{(place + 1) % 10}"} if level else set()
        steps.append(_step(f"l{level}-{place}", sorted(above), 0))
    return _definition(f"bench-layers-{count}", steps)


def _step(key: str, needs: Sequence[str], n: int = FIB, nap_s: float | None = None) -> dict[str, Any]:
    work = (
        {"task": "bench.fib", "args": {"n": n}}
        if nap_s is None
        else {"task": "bench.nap", "args": {"seconds": nap_s}}
    )
    return {"key": key, "kind": "task", "needs": list(needs), "with": work}


def _definition(name: str, steps: list[dict[str, Any]]) -> WorkflowDefinition:
    return parse_definition({"name": name, "steps": steps})
