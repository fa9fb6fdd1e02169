"""P4 to P7: workflows of ours against Celery's canvas, which keeps nothing, and DBOS, which keeps all.

Each side has two worker processes and the same servers; DBOS works in the process that asks. Ours is timed from the
submission to the end that is written in the run's row. Lines and fan-outs are run several times a round, and the
median counts: one takes a few hundredths of a second.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from tests.bench.baselines import canvas
from tests.bench.model import Bar, Bench, BenchError, Outcome, Plan, Sample, Side
from tests.bench.pairs import in_turn
from tests.bench.servers import ROOT
from tests.bench.workflow_runs import FIB, LEVELS, WIDTH, WITHIN_S, WORKERS, WorkflowRuns, fan, graph, line, runs_of

OURS = "ours"
CANVAS = "Celery canvas"
DBOS = "DBOS"
_LINE = 40
_CANVAS_DATABASE = 3


def run(plan: Plan) -> Outcome:
    """All three in turn: a line, a fan-out, and graphs that are not series-parallel."""
    with runs_of(plan) as runs:
        sides = _Sides(runs, plan)
        try:
            rounds = in_turn([Side(OURS, sides.ours), Side(CANVAS, sides.canvas), Side(DBOS, sides.dbos)], plan)
        finally:
            sides.close()
    notes = [
        f"A line of {_LINE} fib({FIB}), the median of {sides.lines} one after the other; {sides.width:,} of them "
        f"side by side and a join, of {sides.fans}; {sides.graphs} graphs at once of {1 + WIDTH * LEVELS} steps, "
        "each after two of the level above. Canvas says such a graph with a barrier after each level.",
        "line_inside: from the first step's begin to the last one's end, without submission, message, end of run.",
    ]
    return Outcome(rounds, notes=notes)


class _Sides:
    def __init__(self, runs: WorkflowRuns, plan: Plan) -> None:
        self.lines = plan.counted(15, 1)
        self.fans = plan.counted(3, 1)
        self.width = plan.counted(1_000, 40)
        self.graphs = plan.counted(50, 2)
        self._runs, self._ground = runs, runs.ground
        ground = runs.ground
        url = ground.redis_database(_CANVAS_DATABASE)
        environ = {**self._runs.environ, "REDIS_URL": url}
        command = ("tests.bench.baselines.canvas:app", "-Q", canvas.QUEUE, *WORKERS)
        self._worker_of_canvas = ground.worker("canvas", *command, environ=environ)
        self._canvas = canvas.make(url)
        self._dbos_url = ground.database(f"dbos_{ground.number('SELECT (random() * 1e9)::integer')}")

    def close(self) -> None:
        self._canvas.close()
        self._ground.kill(self._worker_of_canvas)

    def ours(self) -> Sample:
        self._ground.settle()
        lines: list[float] = []
        inside: list[float] = []
        for _ in range(self.lines):
            lines.append(self._runs.seconds([line(_LINE)]))
            inside.append(self._runs.inside_s())
        fan_s = statistics.median(self._runs.seconds([fan(self.width)]) for _ in range(self.fans))
        graph_s = self._runs.seconds([graph()] * self.graphs)
        return {
            "line_ms_a_step": 1000 * statistics.median(lines) / _LINE,
            "line_inside_ms_a_step": 1000 * statistics.median(inside) / _LINE,
            "fan_steps_per_s": (self.width + 1) / fan_s,
            "graph_steps_per_s": self.graphs * (1 + WIDTH * LEVELS) / graph_s,
        }

    def canvas(self) -> Sample:
        line_s = statistics.median(self._line_of_canvas() for _ in range(self.lines))
        fan_s = statistics.median(self._fan_of_canvas() for _ in range(self.fans))
        widths = [1] + [WIDTH] * LEVELS
        began = time.monotonic()
        waiting = [canvas.levels(self._canvas, widths, 0) for _ in range(self.graphs)]
        for each in waiting:
            each.get(timeout=WITHIN_S)
        graph_s = time.monotonic() - began
        return {
            "line_ms_a_step": 1000 * line_s / _LINE,
            "fan_steps_per_s": (self.width + 1) / fan_s,
            "graph_steps_per_s": self.graphs * sum(widths) / graph_s,
        }

    def _line_of_canvas(self) -> float:
        began = time.monotonic()
        canvas.line(self._canvas, _LINE, FIB).get(timeout=WITHIN_S, interval=0.005)
        return time.monotonic() - began

    def _fan_of_canvas(self) -> float:
        began = time.monotonic()
        canvas.fan(self._canvas, self.width, FIB).get(timeout=WITHIN_S, interval=0.005)
        return time.monotonic() - began

    def dbos(self) -> Sample:
        module = "tests.bench.baselines.durable_dbos"
        command = [sys.executable, "-m", module, self._dbos_url, str(_LINE), str(FIB), str(self.lines)]
        done = subprocess.run(
            command, cwd=ROOT, env=self._runs.environ, capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
        if done.returncode:
            raise BenchError(f"DBOS failed:\n{done.stderr[-2000:]}")
        return {"line_ms_a_step": 1000 * statistics.median(map(float, done.stdout.split())) / _LINE}


BENCH = Bench(
    "workflows",
    "lines, fan-outs and graphs of durable steps",
    (
        Bar("P4", "ms a step of a line, against a Celery chain", "line_ms_a_step", OURS, CANVAS, most=0.5),
        Bar("P5", "ms a step of a line, against DBOS", "line_ms_a_step", OURS, DBOS, most=0.3),
        Bar("P6", "steps/s of a fan-out, against a Celery chord", "fan_steps_per_s", OURS, CANVAS, least=8),
        Bar("P7", "steps/s of graphs, against level barriers", "graph_steps_per_s", OURS, CANVAS, least=2),
    ),
    run,
)
