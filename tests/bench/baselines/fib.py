"""The work of the workflow benches, as each side calls it: a Fibonacci number by the book, and a nap."""

from __future__ import annotations

import time


def fib(n: int) -> int:
    """The ``n``-th Fibonacci number, slowly."""
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def nap(seconds: float) -> float:
    """Sleeps."""
    time.sleep(seconds)
    return seconds
