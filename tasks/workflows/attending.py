"""Tells workers of runs from a process that is no worker: the hint of a ``WorkflowService``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from celery import Celery

from tasks.workflows.work.canvas import Sender


def attender(app: Celery) -> Callable[[Sequence[UUID]], None]:
    """What has a worker attend to each of some runs. It never raises; what it loses the clock makes good."""
    sender = Sender(app)

    def attend(run_ids: Sequence[UUID]) -> None:
        for run_id in run_ids:
            sender.run(run_id)

    return attend
