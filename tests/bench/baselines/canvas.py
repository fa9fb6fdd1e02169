"""Workflows as a user writes them with Celery's canvas: chains and chords of tasks, nothing durable but Redis.

``celery -A tests.bench.baselines.canvas`` loads ``app``, made from the environment. Its settings are those that make
Celery fastest for this: acknowledged early, results kept for their joins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery, chain, chord, group, shared_task
from celery.result import AsyncResult

from tasks.settings import load_settings
from tests.bench.baselines import fib as work

QUEUE = "canvas"


@shared_task(name="canvas.fib")
def fib(n: int) -> int:
    """One step."""
    return work.fib(n)


@shared_task(name="canvas.join")
def join(_results: Any = None) -> int:
    """What comes after a fan-out."""
    return 0


@shared_task(name="canvas.nap")
def nap(seconds: float) -> float:
    """A step that takes time."""
    return work.nap(seconds)


def make(redis_url: str) -> Celery:
    """A plain app; nothing is connected."""
    made = Celery("canvas", broker=redis_url, backend=redis_url, set_as_current=False)
    made.conf.update(task_default_queue=QUEUE, worker_prefetch_multiplier=1, result_expires=600)
    return made


def line(app: Celery, steps: int, n: int) -> AsyncResult[Any]:
    """``steps`` one after the other."""
    made: AsyncResult[Any] = chain(
        *(app.signature("canvas.fib", (n,), immutable=True) for _ in range(steps))
    ).apply_async()
    return made


def fan(app: Celery, width: int, n: int) -> AsyncResult[Any]:
    """``width`` side by side, and a join."""
    header = [app.signature("canvas.fib", (n,), immutable=True) for _ in range(width)]
    made: AsyncResult[Any] = chord(header, app.signature("canvas.join"), app=app).apply_async()
    return made


def levels(app: Celery, widths: Sequence[int], n: int) -> AsyncResult[Any]:
    """Levels of steps, each level after all of the one before: how canvas says a graph that is not of its shapes."""
    parts = [group(app.signature("canvas.fib", (n,), immutable=True) for _ in range(width)) for width in widths]
    made: AsyncResult[Any] = chain(*parts, app.signature("canvas.join", immutable=True)).apply_async()
    return made


def __getattr__(name: str) -> Celery:
    """``app``, for the worker alone."""
    if name != "app":
        raise AttributeError(name)
    app = make(load_settings().redis_url)
    app.set_current()
    return app
