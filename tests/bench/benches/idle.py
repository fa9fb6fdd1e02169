"""P14: what the whole stack costs when nobody uses it: the processor time of each process of `omninode up`, Flower
included, as a share of one core."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.bench.model import Bar, Bench, BenchError, Outcome, Plan, Round
from tests.bench.servers import ROOT, cpu_s, family

WHOLE = "whole stack"
_SECONDS = 30.0
# The kernel counts in ticks of 10 ms: at rest two seconds of a few processes can be none at all.
_SMOKE_S = 6.0
_SETTLED_AFTER_S = 20.0
_UP_WITHIN_S = 180


def run(plan: Plan) -> Outcome:
    """Starts the stack as a user does, lets it settle, and looks at its processes for 30 s in equal parts.

    A smoke run that shares a running system looks at that: the acceptance tests start the stack often enough.
    """
    window_s = plan.sized(_SECONDS, _SMOKE_S) / plan.pairs
    if plan.standing is not None:
        pids = {name: program.pid for name, program in plan.standing.system.programs.items()}
        return Outcome([_window(pids, window_s, plan)])
    data = plan.folder / "stack"
    _stack("up", "--detach", *(["--no-flower"] if plan.smoke else []), data=data)
    try:
        time.sleep(plan.sized(_SETTLED_AFTER_S, 0))
        rounds = [_window(_pids(data), window_s, plan) for _ in range(plan.pairs)]
    finally:
        _stack("down", data=data)
        shutil.copytree(data / "logs", plan.folder / "logs")
        shutil.rmtree(data)
    return Outcome(rounds, notes=[f"{plan.pairs} windows of {window_s:g} s, after {_SETTLED_AFTER_S:g} s of rest."])


def _window(pids: dict[str, int], seconds: float, plan: Plan) -> Round:
    began, before = time.monotonic(), _cpu_s(pids)
    time.sleep(seconds)
    passed_s, after = time.monotonic() - began, _cpu_s(pids)
    shares = {name: 100 * max(0.0, after[name] - before[name]) / passed_s for name in pids}
    shares = {WHOLE: sum(shares.values()), **dict(sorted(shares.items(), key=lambda item: -item[1]))}
    plan.say("  " + ", ".join(f"{name} {share:.2f} %" for name, share in shares.items()))
    return {name: {"percent_of_a_core": share} for name, share in shares.items()}


def _cpu_s(pids: dict[str, int]) -> dict[str, float]:
    """The processor time, user and system, of each part with the processes that it started."""
    used = dict.fromkeys(pids, 0.0)
    for name, pid in pids.items():
        with suppress(psutil.NoSuchProcess):
            # The supervisor's children are parts of their own.
            used[name] = cpu_s([psutil.Process(pid)] if name in ("up", "supervisor") else family(pid))
    return used


def _pids(data: Path) -> dict[str, int]:
    return dict(json.loads((data / "stack.json").read_text())["pids"])


def _stack(*arguments: str, data: Path) -> None:
    line = [sys.executable, "-m", "webapp.stack", *arguments, "--data-dir", str(data)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=_UP_WITHIN_S, check=False)
    if done.returncode != 0:
        raise BenchError(done.stdout + done.stderr)


BENCH = Bench(
    "idle",
    "processor time of the whole stack at rest",
    (Bar("P14", "percent of one core, whole stack", "percent_of_a_core", WHOLE, most=5.0),),
    run,
)
