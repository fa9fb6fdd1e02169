"""P4 to P9: workflows of ours against Celery's canvas, which keeps nothing, and DBOS, which keeps all.

Each side has the same two worker processes and the same servers. Ours is timed from the submission to the end that is
written in the run's row. P9's cost is taken over many runs of a size, so that about as many steps are done for each.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tasks.db.pool import Database
from tasks.queue.app import create_celery
from tasks.workflows.attending import attender
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.service import WorkflowService
from tasks.workflows.submitting import Submission
from tests.bench.baselines import canvas, step_tasks
from tests.bench.model import Bar, Bench, BenchError, Outcome, Plan, Sample, Side
from tests.bench.pairs import in_turn
from tests.bench.servers import ROOT, Ground
from tests.bench.system import ground_of

OURS = "ours"
CANVAS = "Celery canvas"
DBOS = "DBOS"
_LINE = 40
_FIB = 10
_WIDTH = 8
_LEVELS = 4
_NAP_S = 0.1
_CANVAS_DATABASE = 3
_WITHIN_S = 120.0
_SIZES = (10, 100, 1_000, 10_000)
_RUN_ENDED = """
SELECT count(*) FILTER (WHERE finished_at IS NULL), extract(epoch FROM max(finished_at)),
       count(*) FILTER (WHERE state <> 'succeeded')
FROM runs WHERE id = ANY(%s::uuid[])
"""


def run(plan: Plan) -> Outcome:
    """All three in turn: a line, a fan-out, and graphs that are not series-parallel."""
    with ground_of(plan) as ground:
        sides = _Sides(ground, plan)
        try:
            rounds = in_turn([Side(OURS, sides.ours), Side(CANVAS, sides.canvas), Side(DBOS, sides.dbos)], plan)
        finally:
            sides.close()
    notes = [
        f"A line of {_LINE} fib({_FIB}); {sides.width:,} of them side by side and a join; {sides.graphs} graphs at "
        f"once of {1 + _WIDTH * _LEVELS} steps, each after two of the level above. Canvas says such a graph with a "
        "barrier after each level.",
        f"makespan_excess: of one such graph with naps of {_NAP_S} s, less 50 ms, against its critical path.",
        "cost_…: milliseconds a step with graphs of so many steps, against graphs of 100.",
    ]
    return Outcome(rounds, notes=notes)


class _Sides:
    def __init__(self, ground: Ground, plan: Plan) -> None:
        self.width = plan.counted(1_000, 40)
        self.graphs = plan.counted(50, 2)
        self._sizes = _SIZES if not plan.smoke else (10, 100)
        self._ground = ground
        environ = ground.environ(LOG_LEVEL="WARNING", OMNINODE_IMPORTS=step_tasks.NAME)
        workers = ("--concurrency", "2")
        ground.worker("workflows", "tasks.celery", "-Q", "workflows", *workers, environ=environ)
        ground.worker("clock", "tasks.celery", "-Q", "bridges", "--concurrency", "1", environ=environ)
        self._environ = environ
        url = ground.redis_database(_CANVAS_DATABASE)
        ground.worker(
            "canvas",
            "tests.bench.baselines.canvas:app",
            "-Q",
            canvas.QUEUE,
            *workers,
            environ={**environ, "REDIS_URL": url},
        )
        self._canvas = canvas.make(url)
        self._app = create_celery(ground.settings(), role="bench")
        self._app.send_task("workflows.clock", queue="bridges")
        self._db = Database(ground.settings(), "bench")
        self._service = WorkflowService(self._db, ground.settings(), attender(self._app))
        self._dbos_url = ground.database(f"dbos_{ground.number('SELECT (random() * 1e9)::integer')}")

    def close(self) -> None:
        self._db.close()
        self._app.bridge.close()
        self._app.close()
        self._canvas.close()

    def ours(self) -> Sample:
        self._ground.settle()
        line_s = self._timed([_line(_LINE)])
        fan_s = self._timed([_fan(self.width)])
        graph_s = self._timed([_graph()] * self.graphs)
        costs = {size: self._cost_s(size) for size in self._sizes}
        return {
            "line_ms_a_step": 1000 * line_s / _LINE,
            "fan_steps_per_s": (self.width + 1) / fan_s,
            "graph_steps_per_s": self.graphs * (1 + _WIDTH * _LEVELS) / graph_s,
            "makespan_excess": self._excess(),
            **{f"cost_{size}": costs[size] / costs[100] for size in self._sizes if size != 100},
            "cost_most": costs[self._sizes[-1]] / costs[100],
            "ms_a_step_at_100": 1000 * costs[100],
        }

    def canvas(self) -> Sample:
        began = time.monotonic()
        canvas.line(self._canvas, _LINE, _FIB).get(timeout=_WITHIN_S)
        line_s = time.monotonic() - began
        began = time.monotonic()
        canvas.fan(self._canvas, self.width, _FIB).get(timeout=_WITHIN_S)
        fan_s = time.monotonic() - began
        widths = [1] + [_WIDTH] * _LEVELS
        began = time.monotonic()
        waiting = [canvas.levels(self._canvas, widths, 0) for _ in range(self.graphs)]
        for each in waiting:
            each.get(timeout=_WITHIN_S)
        graph_s = time.monotonic() - began
        return {
            "line_ms_a_step": 1000 * line_s / _LINE,
            "fan_steps_per_s": (self.width + 1) / fan_s,
            "graph_steps_per_s": self.graphs * sum(widths) / graph_s,
        }

    def dbos(self) -> Sample:
        module = "tests.bench.baselines.durable_dbos"
        command = [sys.executable, "-m", module, self._dbos_url, str(_LINE), str(_FIB)]
        done = subprocess.run(
            command, cwd=ROOT, env=self._environ, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
        if done.returncode:
            raise BenchError(f"DBOS failed:\n{done.stderr[-2000:]}")
        return {"line_ms_a_step": 1000 * float(done.stdout.split()[-1]) / _LINE}

    def _cost_s(self, size: int) -> float:
        count = max(1, self._sizes[-1] // size // (10 if size < 1_000 else 1))
        return self._timed([_layers(size)] * count) / (count * size)

    def _excess(self) -> float:
        wide = self._ground.worker(
            "wide", "tasks.celery", "-Q", "workflows", "--concurrency", str(2 * _WIDTH), environ=self._environ
        )
        try:
            wide.wait_until(self._wide_answers)
            self._timed([_graph(nap_s=0.001)] * _WIDTH)
            took_s = self._timed([_graph(nap_s=_NAP_S)])
        finally:
            self._ground.kill(wide)
        return (took_s - 0.05) / (_NAP_S * (1 + _LEVELS))

    def _wide_answers(self) -> bool:
        return any(name.startswith("wide@") for reply in self._app.control.ping(timeout=1.0) for name in reply)

    def _timed(self, definitions: Sequence[dict[str, Any]]) -> float:
        """Seconds from the first submission to the end of the last run."""
        made = [parse_definition(definition) for definition in definitions]
        began = time.time()
        run_ids: list[UUID] = [
            self._service.submit(Submission(definition=each, submitted_by="bench")).run_id for each in made
        ]
        deadline = time.monotonic() + _WITHIN_S
        while True:
            left, ended_at, failed = self._ground.query(_RUN_ENDED, [str(each) for each in run_ids])[0]
            if not left:
                break
            if time.monotonic() > deadline:
                raise BenchError(f"{left} runs did not end within {_WITHIN_S:g} s")
            time.sleep(0.02)
        if failed:
            raise BenchError(f"{failed} runs did not succeed")
        return float(str(ended_at)) - began


def _step(key: str, needs: Sequence[str], n: int = _FIB, nap_s: float | None = None) -> dict[str, Any]:
    work = (
        {"task": "bench.fib", "args": {"n": n}}
        if nap_s is None
        else {"task": "bench.nap", "args": {"seconds": nap_s}}
    )
    return {"key": key, "kind": "task", "needs": list(needs), "with": work}


def _line(count: int) -> dict[str, Any]:
    steps = [_step(f"s{n}", [f"s{n - 1}"] if n else []) for n in range(count)]
    return {"name": "bench-line", "steps": steps}


def _fan(width: int) -> dict[str, Any]:
    keys = [f"s{n}" for n in range(width)]
    return {"name": "bench-fan", "steps": [*(_step(key, []) for key in keys), _step("join", keys, 0)]}


def _graph(nap_s: float | None = None) -> dict[str, Any]:
    steps = [_step("root", [], 0, nap_s)]
    for level in range(_LEVELS):
        for n in range(_WIDTH):
            above = {f"l{level - 1}-{n}", f"l{level - 1}-{(n + 1) % _WIDTH}"} if level else {"root"}
            steps.append(_step(f"l{level}-{n}", sorted(above), 0, nap_s))
    return {"name": "bench-graph" if nap_s is None else f"bench-naps-{nap_s}", "steps": steps}


def _layers(count: int) -> dict[str, Any]:
    steps = []
    for n in range(count):
        level, place = divmod(n, 10)
        above = {f"l{level - 1}-{place}", f"l{level - 1}-{(place + 1) % 10}"} if level else set()
        steps.append(_step(f"l{level}-{place}", sorted(above), 0))
    return {"name": f"bench-layers-{count}", "steps": steps}


BENCH = Bench(
    "workflows",
    "lines, fan-outs and graphs of durable steps",
    (
        Bar("P4", "ms a step of a line, against a Celery chain", "line_ms_a_step", OURS, CANVAS, most=0.5),
        Bar("P5", "ms a step of a line, against DBOS", "line_ms_a_step", OURS, DBOS, most=0.3),
        Bar("P6", "steps/s of a fan-out, against a Celery chord", "fan_steps_per_s", OURS, CANVAS, least=8),
        Bar("P7", "steps/s of graphs, against level barriers", "graph_steps_per_s", OURS, CANVAS, least=2),
        Bar("P8", "makespan less 50 ms, against the critical path", "makespan_excess", OURS, most=1.1),
        Bar("P9", "cost a step at 10 steps, against 100", "cost_10", OURS, most=1.3),
        Bar("P9", "cost a step at the most steps, against 100", "cost_most", OURS, most=1.3),
    ),
    run,
)
