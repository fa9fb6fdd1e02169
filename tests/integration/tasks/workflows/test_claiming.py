"""What one message's work takes on of a run: what is known to be done sooner than it would be sent."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery import Celery

from tasks.db.pool import Database
from tasks.queue.app import create_celery
from tasks.runtime import Runtime
from tasks.settings import Settings
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.submitting import Submission
from tasks.workflows.work.canvas import Sender, Trip
from tasks.workflows.work.claiming import Claims
from tasks.workflows.work.contexts import Contexts, RunContext
from tasks.workflows.work.durations import Durations
from tasks.workflows.work.following import Following
from tests.integration.tasks.workflows.submitting import Runs

PLACES = list(range(30))


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    made = create_celery(settings, role="test")
    yield made
    made.bridge.close()
    made.close()


@pytest.fixture
def runtime(app: Celery) -> Runtime:
    found = app.bridge
    assert isinstance(found, Runtime)
    return found


@pytest.fixture
def claims(app: Celery, runtime: Runtime) -> Claims:
    trip = Trip(SimpleNamespace(chain=None, chord=None))
    return Claims(runtime, Following(runtime, Sender(app), lambda: None), trip)


def context_of(db: Database, runtime: Runtime, runs: Runs, max_parallel: int | None = None) -> RunContext:
    """A run of steps side by side, all of them ready."""
    steps = [{"key": f"s{n}", "kind": "wait", "with": {"seconds": 1}} for n in PLACES]
    definition = parse_definition({"name": "fan", "steps": steps, "max_parallel": max_parallel})
    run_id = runs.submit(Submission(definition=definition)).run_id
    with db.transaction() as tx:
        return runtime.kept(Contexts).of(tx, run_id)


def test_what_nothing_is_known_of_is_sent(db: Database, runtime: Runtime, runs: Runs, claims: Claims) -> None:
    assert claims.own(context_of(db, runtime, runs), PLACES) == []


def test_what_is_known_to_be_short_is_done_here_and_no_more_than_a_message_takes(
    db: Database, runtime: Runtime, runs: Runs, claims: Claims
) -> None:
    context = context_of(db, runtime, runs)
    for place in PLACES:
        runtime.kept(Durations).learn(context, place, 1.0 if place == 2 else 0.0019)
    assert claims.own(context, PLACES[:5]) == [0, 1, 3, 4]
    assert claims.own(context, PLACES) == [0, 1, *range(3, 11)]


def test_one_step_alone_is_done_here_as_is_the_first_of_a_run_with_a_limit(
    db: Database, runtime: Runtime, runs: Runs, claims: Claims
) -> None:
    assert claims.own(context_of(db, runtime, runs), [7]) == [7]
    assert claims.own(context_of(db, runtime, runs, max_parallel=2), PLACES) == [0]
