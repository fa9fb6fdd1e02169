"""The Celery task that drains the state stream, slice by slice."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task, shared_task

from bridges.mirror.drain import Drain, Outage
from bridges.slices import work_in_slices
from tasks.runtime import runtime_of

log = logging.getLogger(__name__)

# One outage is told once, not once a slice.
_outage = Outage()


@shared_task(name="bridges.drain", bind=True)
def drain(self: Task[Any, Any]) -> None:
    """Drains for a slice of time and sends its successor; ends at once where another drain is at work."""
    runtime = runtime_of(self.app)

    def work() -> bool:
        outcome = Drain(runtime, _outage).run(runtime.settings.bridge_slice_s)
        if outcome.held:
            log.debug("mirror-slice-ended", extra={"transitions": outcome.transitions, "repeated": outcome.repeated})
        return outcome.held

    work_in_slices(self.app, "bridges.drain", "bridges", work)
