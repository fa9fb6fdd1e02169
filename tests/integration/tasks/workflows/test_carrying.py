"""What one message's work does to steps that others have moved on meanwhile, or have taken away."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import SimpleNamespace
from uuid import UUID

import pytest

from tasks.queue.app import create_celery
from tasks.settings import Settings
from tasks.workflows.attempt import Attempt, StepError
from tasks.workflows.functions import step
from tasks.workflows.store.steps import Claimed
from tasks.workflows.work.canvas import Trip
from tasks.workflows.work.carrying import Carrier
from tasks.workflows.work.clock import Clock
from tasks.workflows.work.durations import Durations
from tasks.workflows.work.outcomes import Failed, Waits
from tests.integration.conftest import wait_until
from tests.integration.tasks.workflows.workbench import Workbench

pytestmark = pytest.mark.timeout(60)

SLOW = {"key": "slow", "kind": "task", "with": {"task": "test.sleep", "args": {"seconds": 1.2}}}
NAP = {"key": "nap", "kind": "wait", "with": {"seconds": 3600}}
CHANGE = {"task": "test.change", "args": {"given": "${{ input.given }}", "written": [{"n": [1]}]}}
LATER = {"key": "later", "kind": "wait", "with": {"seconds": 3600}, "retry": {"max_attempts": 3, "backoff_s": 300}}


@pytest.fixture
def bench(settings: Settings) -> Iterator[Workbench]:
    """One whose leases are short, and which may begin one step of the kind ``wait`` in an hour."""
    rates = (("wait", "1/hour"),)
    app = create_celery(dataclasses.replace(settings, workflow_lease_s=0.6, workflow_rate_limits=rates), role="test")
    yield Workbench(app)
    app.bridge.close()


@step("test.change")
def change(given: dict[str, list[int]], written: list[dict[str, list[int]]]) -> list[int]:
    """Changes what it was given."""
    given["n"].append(2)
    written[0]["n"].append(3)
    return given["n"] + written[0]["n"]


def carry(bench: Workbench, run_id: UUID, *places: int) -> None:
    """What a worker does with a message about these steps."""
    Carrier(bench.runtime, bench.following, Trip(SimpleNamespace(chain=None, chord=None))).carry(run_id, places)


def test_a_message_that_comes_late_ends_no_wait_and_no_backoff(bench: Workbench) -> None:
    run_id = bench.submit(SLOW, NAP, LATER)
    context = bench.context(run_id)
    bench.writer.end(context, Claimed(1, 1), bench.claim(run_id, 1), Waits("time", 3600.0))
    bench.writer.end(context, Claimed(2, 1), bench.claim(run_id, 2), Failed(StepError("no")))
    before = bench.rows("SELECT place, state, due_at FROM steps WHERE place > 0 ORDER BY place")
    assert [row["state"] for row in before] == ["waiting", "retrying"]
    # Behind a step that takes long, which has the others sent again; and where the rate of their kind is used up.
    carry(bench, run_id, 0, 1, 2)
    carry(bench, run_id, 1, 2)
    Clock(bench.runtime, bench.following).tick()
    assert bench.rows("SELECT place, state, due_at FROM steps WHERE place > 0 ORDER BY place") == before


def test_what_a_step_changes_of_its_arguments_is_its_own(bench: Workbench) -> None:
    steps = [{"key": key, "kind": "task", "needs": needs, "with": CHANGE} for key, needs in (("a", []), ("b", ["a"]))]
    for _ in range(2):  # the second run is of the definition that this process has at hand
        run_id = bench.submit(*steps, input={"given": {"n": [1]}})
        bench.work(run_id)
        rows = bench.rows("SELECT output FROM steps WHERE run_id = %(id)s", id=run_id)
        assert [row["output"] for row in rows] == [[1, 2, 1, 3], [1, 2, 1, 3]]


def test_an_output_may_hold_source_code_with_an_escaped_nul(bench: Workbench) -> None:
    code = "if '\\u0000' in text:"
    run_id = bench.submit(
        {"key": "a", "kind": "task", "with": {"task": "test.echo", "args": {"x": "${{ input.code }}"}}},
        input={"code": code},
    )
    bench.work(run_id)
    assert bench.run(run_id)["output"] == {"a": {"x": code}}
    run_id = bench.submit({"key": "a", "kind": "task", "with": {"task": "test.nul"}})
    bench.work(run_id)
    assert (bench.run(run_id)["state"], bench.run(run_id)["error_code"]) == ("failed", "NotJson")


def test_what_waits_for_a_short_step_is_not_kept_by_a_long_one_beside_it(bench: Workbench) -> None:
    short = {"key": "short", "kind": "task", "with": {"task": "test.echo"}}
    long = {"key": "long", "kind": "task", "with": {"task": "test.until-due"}, "retry": {"max_attempts": 1}}
    run_id = bench.submit(short, long, {"key": "then", "kind": "task", "needs": ["short"], "with": short["with"]})
    for place in (0, 1):  # so that they are claimed, and would be ended, together
        bench.runtime.kept(Durations).learn(bench.context(run_id), place, 0.001)
    carry(bench, run_id, 0, 1)
    assert bench.steps(run_id)["long"] == "succeeded", "the clock was not to look at what is ready"


@step("test.until-due")
def until_due(attempt: Attempt) -> None:
    """Takes until the clock is to send the step ``then`` on its way."""
    sql = "SELECT 1 FROM steps WHERE run_id = %(id)s AND key = 'then' AND state = 'ready' AND due_at <= now()"

    def due() -> bool:
        with attempt.runtime.db.transaction() as tx:
            return bool(tx.all(sql, {"id": attempt.run_id}))

    wait_until(due, 3.0)


@step("test.nul")
def nul() -> list[str]:
    """Gives what PostgreSQL can't keep."""
    return ["a\0b"]
