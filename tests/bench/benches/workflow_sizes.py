"""P8 and P9: a graph's makespan against its critical path, and what a step costs as the graph grows.

A run has costs of its own, whatever its size: it is submitted, begun and ended. So what grows is measured as the cost
of each further step: the time of a graph, less that of a run with a single step, divided by the steps that it has
more. Two runs are at work at once, as many as there are worker processes.
"""

from __future__ import annotations

import statistics

from tests.bench.model import Bar, Bench, Outcome, Plan, Sample, Side
from tests.bench.pairs import in_turn
from tests.bench.workflow_runs import LEVELS, WIDTH, WorkflowRuns, graph, layers, runs_of

OURS = "ours"
_NAP_S = 0.1
_ALLOWED_S = 0.05
_AT_ONCE = 2
# How often each size is run in a round; the median counts.
_TIMES = {1: 40, 10: 40, 100: 20, 1_000: 4, 10_000: 1}
# Less is noise: a smoke run takes each time once.
_LEAST_S = 1e-6
_SMOKE_TIMES = {1: 1, 10: 1, 100: 1}


def run(plan: Plan) -> Outcome:
    """Graphs of each size in turn, smallest first."""
    with runs_of(plan) as runs:
        rounds = in_turn([Side(OURS, _Sizes(runs, plan).ours)], plan)
    notes = [
        f"makespan_excess: of a graph of {1 + WIDTH * LEVELS} steps that each sleep {_NAP_S} s, less 50 ms, against "
        "its critical path.",
        "step_…: cost of each further step in graphs of so many steps, against graphs of 100.",
        "whole_10: all that a run of 10 steps costs, by step, against one of 100: the run's own costs count fully.",
        "memory: the most that any worker process has grown since it ran the graphs of 100 steps for the first time.",
    ]
    return Outcome(rounds, notes=notes)


class _Sizes:
    def __init__(self, runs: WorkflowRuns, plan: Plan) -> None:
        self._times = _SMOKE_TIMES if plan.smoke else _TIMES
        # How many more processes there are for steps that sleep.
        self._more = plan.counted(2 * WIDTH, 0)
        self._naps_s = plan.sized(_NAP_S, 0.01)
        self._runs = runs
        # Bytes of each process when the graphs were small.
        self._small: dict[int, int] = {}

    def ours(self) -> Sample:
        self._runs.ground.settle()
        self._runs.seconds([layers(1)])
        runs_s: dict[int, float] = {}
        for size, times in self._times.items():
            definitions = [layers(size)] * _AT_ONCE
            runs_s[size] = statistics.median(self._runs.seconds(definitions) for _ in range(times)) / _AT_ONCE
            if size == 100 and not self._small:
                self._small = self._runs.memory()
        memory = self._runs.memory()
        further_s = {size: max(_LEAST_S, runs_s[size] - runs_s[1]) / (size - 1) for size in runs_s if size > 1}
        largest = max(self._times)
        return {
            "run_ms": 1000 * runs_s[1],
            "step_ms_at_100": 1000 * further_s[100],
            **{f"step_{size}": further_s[min(size, largest)] / further_s[100] for size in (10, 1_000, 10_000)},
            "whole_10": runs_s[10] / runs_s[100] * 10,
            "memory": max(now / self._small[pid] for pid, now in memory.items() if pid in self._small),
            "memory_mb": max(memory.values()) / 1e6,
            "makespan_excess": self._excess(),
        }

    def _excess(self) -> float:
        wide = self._runs.worker("wide", self._more) if self._more else None
        try:
            self._runs.seconds([graph(nap_s=0.001)] * WIDTH)
            took_s = self._runs.seconds([graph(nap_s=self._naps_s)])
        finally:
            if wide is not None:
                self._runs.ground.kill(wide)
        return max(_LEAST_S, took_s - _ALLOWED_S) / (self._naps_s * (1 + LEVELS))


BENCH = Bench(
    "workflow-sizes",
    "workflows from 10 to 10,000 steps, and sleeping ones",
    (
        Bar("P8", "makespan less 50 ms, against the critical path", "makespan_excess", OURS, most=1.1),
        Bar("P9", "cost of a further step at 10 steps, against 100", "step_10", OURS, most=1.3),
        Bar("P9", "cost of a further step at 1,000 steps, against 100", "step_1000", OURS, most=1.3),
        Bar("P9", "cost of a further step at 10,000 steps, against 100", "step_10000", OURS, most=1.3),
        Bar("P9", "memory at 10,000 steps, against 100", "memory", OURS, most=1.1),
    ),
    run,
)
