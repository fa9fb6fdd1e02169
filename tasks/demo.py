"""Two example tasks that are always there, to try the system with: for Celery, and as steps of workflows."""

from __future__ import annotations

import time

from celery import shared_task

from tasks.workflows.functions import step

_LARGEST_N = 10_000


@shared_task(name="demo.fib")
@step("demo.fib")
def fib(n: int) -> int:
    """The ``n``-th Fibonacci number, for 0 ≤ n ≤ 10,000. Fails with ValueError outside of that."""
    if not 0 <= n <= _LARGEST_N:
        raise ValueError(f"n must be between 0 and {_LARGEST_N}")
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


@shared_task(name="demo.sleep")
@step("demo.sleep")
def sleep(seconds: float) -> None:
    """Does nothing for ``seconds``."""
    time.sleep(seconds)
