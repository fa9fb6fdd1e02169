"""The same work as step tasks of our workflows."""

from __future__ import annotations

from tasks.workflows.functions import step
from tests.bench.baselines import fib as work

NAME = "tests.bench.baselines.step_tasks"


@step("bench.fib")
def fib(n: int) -> int:
    """One step."""
    return work.fib(n)


@step("bench.nap")
def nap(seconds: float) -> float:
    """A step that takes time."""
    return work.nap(seconds)
