"""Sends hints about runs from a process that is no worker: the ``hint`` of a ``WorkflowService``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from celery import Celery

from tasks.workflows.work.canvas import Sender


def hint_runs(app: Celery) -> Callable[[Mapping[UUID, int]], None]:
    """What has a worker attend to each of some runs, given with their priorities. It never raises; what it loses the
    clock makes good."""
    sender = Sender(app)

    def hint(priorities: Mapping[UUID, int]) -> None:
        for run_id, priority in priorities.items():
            sender.run(run_id, priority)

    return hint
