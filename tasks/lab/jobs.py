"""Celery tasks of the lab: thin, each only says which row to look at. They wait for models, so a queue and a worker
of threads are theirs (``lab``)."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from celery import Task, chord, shared_task

from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.lab import checking
from tasks.lab.carrying import CarriedQuestions
from tasks.lab.service import lab_of
from tasks.queue.hints import send_hint
from tasks.runtime import runtime_of

log = logging.getLogger(__name__)

QUEUE = "lab"
_PASSING = (DatabaseUnavailable, DatabaseBusy)


def carried_by(app: Any) -> CarriedQuestions:
    """The carried questions of a Celery app, with its hints."""
    runtime = runtime_of(app)
    return CarriedQuestions(
        runtime.db, runtime.settings, lab_of(runtime), lambda job, args: send_hint(app, job, args, queue=QUEUE)
    )


@shared_task(name="lab.execute", bind=True, ignore_result=False)
def execute(self: Task[Any, Any], request_id: str) -> bool:
    """Carries one question. Its outcome is in the row; True says only that this call is over, for a chord to
    count."""
    try:
        carried_by(self.app).carry(UUID(request_id))
    except _PASSING as problem:
        # The row keeps its lease, and the sweeper sends it on when that has run out.
        log.warning("lab-question-put-off", extra={"request_id": request_id, "code": problem.code})
    return True


@shared_task(name="lab.compare", bind=True)
def compare(self: Task[Any, Any], comparison_id: str) -> None:
    """Asks a comparison's questions side by side, as a chord whose body concludes it."""
    members = carried_by(self.app).members_to_ask(UUID(comparison_id))
    if members:
        header = [execute.si(str(member)).set(queue=QUEUE) for member in members]
        chord(header)(conclude.si(comparison_id).set(queue=QUEUE))


@shared_task(name="lab.conclude", bind=True, autoretry_for=_PASSING, max_retries=3, retry_backoff=True)
def conclude(self: Task[Any, Any], comparison_id: str) -> None:
    """Ends a comparison when it is time. The sweeper does the same, should the chord get lost."""
    carried_by(self.app).conclude(UUID(comparison_id))


@shared_task(name="lab.check", bind=True)
def check(self: Task[Any, Any]) -> None:
    """Checks the health of the endpoints that are due, and finds their models."""
    runtime = runtime_of(self.app)
    checking.check_due(runtime.db, runtime.settings.lab_check_interval_s)


@shared_task(name="lab.sweep", bind=True)
def sweep(self: Task[Any, Any]) -> None:
    """Finds questions that wait without a message or lost their worker, comparisons that nobody concluded, and
    attempts whose process is gone."""
    carried_by(self.app).sweep()
    lab_of(runtime_of(self.app)).sweep()


@shared_task(name="lab.retention", bind=True)
def retention(self: Task[Any, Any]) -> None:
    """Deletes questions and comparisons past the retention."""
    carried_by(self.app).delete_old()
