"""The listener for commands as a bridge task: works for a slice, then sends its successor; beat is the safety net."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from bridges.commands.handling import CommandHandler
from bridges.commands.listening import ReaderHolder, listen, topics_of
from bridges.slices import work_in_slices
from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.queue import shutdown
from tasks.queue.nudges import tell_of_journal
from tasks.runtime import runtime_of
from tasks.workflows.hints import hint_runs
from tasks.workflows.known import known
from tasks.workflows.service import WorkflowService

TASK_NAME = "bridges.commands"
QUEUE = "bridges"
# This process's connection to Kafka, kept from slice to slice; opened by the first.
_holder = ReaderHolder()


@shared_task(name=TASK_NAME, bind=True)
def run_slice(self: Task[Any, Any]) -> None:
    """Listens for ``bridge_slice_s``; ends at once where another listener is at work or the worker is stopping."""
    runtime = runtime_of(self.app)
    settings = runtime.settings
    workflows = WorkflowService(runtime.db, settings, hint_runs(self.app))
    handler = CommandHandler(runtime.db, settings, workflows, lambda: known(settings), topics_of(settings))

    def work() -> bool:
        try:
            return listen(
                runtime.db,
                settings,
                _holder,
                handler,
                shutdown,
                settings.bridge_slice_s,
                lambda: tell_of_journal(runtime.redis()),
            )
        except (DatabaseUnavailable, DatabaseBusy):
            _holder.drop()
            raise

    work_in_slices(self.app, TASK_NAME, QUEUE, work)
