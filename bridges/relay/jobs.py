"""The relay as a bridge task: works for a slice, then sends its successor; beat sends one as a safety net."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from bridges.relay.loop import relay
from bridges.relay.sink import SinkHolder
from bridges.slices import work_in_slices
from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.queue import shutdown
from tasks.queue.nudges import JOURNAL, Ears
from tasks.runtime import runtime_of

TASK_NAME = "bridges.relay"
QUEUE = "bridges"
# This process's connections to Kafka, kept from slice to slice; opened by the first.
_holder = SinkHolder()


@shared_task(name=TASK_NAME, bind=True, acks_late=True, ignore_result=True)
def run_slice(self: Task[Any, Any]) -> None:
    """Relays for ``bridge_slice_s``; ends at once where another relay is at work or the worker is stopping."""
    runtime = runtime_of(self.app)

    def work() -> bool:
        try:
            ears = Ears(runtime.redis(), JOURNAL)
            return relay(runtime.db, runtime.settings, _holder, shutdown, runtime.settings.bridge_slice_s, ears)
        except (DatabaseUnavailable, DatabaseBusy):
            _holder.drop()
            raise

    work_in_slices(self.app, TASK_NAME, QUEUE, work)
