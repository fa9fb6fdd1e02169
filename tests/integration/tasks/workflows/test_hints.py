"""Messages about runs: those of urgent runs come to a worker first, whoever began the run and however."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from uuid import UUID

import pytest
from celery import Celery

from tasks.queue.app import create_celery
from tasks.settings import Settings
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.hints import hint_runs
from tasks.workflows.service import WorkflowService
from tasks.workflows.submitting import Submission
from tests.integration.tasks.workflows.workbench import Workbench

ONE = {"key": "a", "kind": "wait", "with": {"seconds": 0}}


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    made = create_celery(dataclasses.replace(settings, db_pool_size=2), role="test")
    yield made
    made.bridge.close()
    made.close()


def heard(app: Celery) -> list[UUID]:
    """The runs of the messages that wait, in the order in which a worker gets them."""
    found = []
    with app.connection_for_read() as connection:
        channel = connection.channel()
        while message := channel.basic_get("workflows", no_ack=True):
            found.append(UUID(message.decode()[0][0]))
    return found


def submit(service: WorkflowService, priority: int, **more: object) -> UUID:
    made = parse_definition({"name": "urgent", "steps": [ONE], **more})
    return service.submit(Submission(definition=made, priority=priority, submitted_by="test")).run_id


def test_urgent_runs_are_heard_of_first(app: Celery) -> None:
    service = WorkflowService(app.bridge.db, app.bridge.settings, hint_runs(app))
    made = {priority: submit(service, priority) for priority in (1, 4, 7, 10)}
    assert heard(app) == [made[10], made[7], made[4], made[1]]
    # What is done to a run later is as urgent as the run is.
    for priority in (1, 10):
        service.cancel(made[priority], "ada")
    assert heard(app) == [made[10], made[1]]
    for priority in (1, 10):
        service.retry(made[priority], "ada")
    assert heard(app) == [made[10], made[1]]


def test_the_next_run_of_a_key_is_as_urgent_as_it_is(app: Celery) -> None:
    service = WorkflowService(app.bridge.db, app.bridge.settings, hint_runs(app))
    keyed = {"concurrency": {"key": "k"}}
    first, urgent, last = submit(service, 1, **keyed), submit(service, 10, **keyed), submit(service, 5)
    heard(app)
    service.hint({last: 5})
    service.cancel(first, "ada")
    Workbench(app).following.attend(first)
    assert heard(app)[0] == urgent
