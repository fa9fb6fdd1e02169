"""Rows of a run and its steps that one statement makes or ends: the same as by the way for any graph."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from tasks.errors import IdempotencyMismatch, NotFound
from tasks.ids import new_id
from tasks.workflows import definitions
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.functions import step
from tasks.workflows.store import run_with_steps
from tasks.workflows.store.steps import Done, LeaseLost
from tasks.workflows.submitting import Submission, submit, submit_at_once
from tasks.workflows.work.canvas import Trip
from tasks.workflows.work.carrying import Carrier
from tests.integration.tasks.workflows.workbench import Workbench

TASK = {"kind": "task", "with": {"task": "test.seven"}}
ONE = {"name": "one", "tags": ["t"], "steps": [{"key": "a", **TASK}]}
LINE = {
    "name": "line",
    "steps": [{"key": "a", **TASK}, {"key": "b", "needs": ["a"], **TASK}],
    "outputs": {"first": "${{ steps.a.output }}", "both": "${{ steps.a.output + steps.b.output }}"},
}
RUN = """
SELECT state, version, tags, metadata, input, output, error_code, error, open_leaves, priority, submitted_by,
       started_at >= created_at AS begun, finished_at >= started_at AS over, due_at = deadline_at AS due_at_its_end,
       due_at IS NULL AS never_due
FROM runs WHERE id = %(id)s
"""
STEPS = """
SELECT place, key, kind, state, version, attempt, pending, passed, queue, priority, output, arguments,
       lease_token IS NULL AS free, due_at IS NULL AS never_due, started_at IS NULL AS not_begun,
       finished_at >= started_at AS over
FROM steps WHERE run_id = %(id)s ORDER BY place
"""
EVENTS = """
SELECT aggregate_type, replace(aggregate_id, %(id)s::text, '') AS key, version, event_type,
       correlation_id IS NULL AS lone,
       payload - 'workflow_id' - 'duration_ms' AS payload, payload ? 'duration_ms' AS timed,
       payload->>'workflow_id' = %(id)s::text AS own
FROM journal
WHERE split_part(aggregate_id, '/', 1) = %(id)s::text
ORDER BY aggregate_type, key, id
"""


@step("test.seven")
def seven() -> int:
    """Gives a number."""
    return 7


def left(bench: Workbench, run_id: UUID) -> list[Any]:
    """What stands in the rows and in the journal, without what differs from run to run."""
    bench.check_journal(run_id)
    return [bench.rows(sql, id=run_id) for sql in (RUN, STEPS, EVENTS)]


def carry(bench: Workbench, run_id: UUID, place: int) -> None:
    """What a worker does with a message about a step."""
    Carrier(bench.runtime, bench.following, Trip(SimpleNamespace(chain=None, chord=None))).carry(run_id, [place])


def test_a_run_made_at_once_is_as_any_other(bench: Workbench) -> None:
    submission = Submission(definition=parse_definition(ONE), input={"n": 1}, submitted_by="ada", priority=7)
    for _ in range(2):  # a process knows a definition when it has used it once more
        with bench.db.transaction() as tx:
            slowly = submit(tx, submission, bench.runtime.settings)
    with bench.db.autocommit() as tx:
        quickly = submit_at_once(tx, submission, bench.runtime.settings)
    assert quickly is not None
    assert (quickly.state, quickly.name, quickly.priority, quickly.duplicate) == ("running", "one", 7, False)
    found = left(bench, quickly.run_id)
    assert found == left(bench, slowly.run_id)
    assert [row["version"] for row in found[2]] == [1, 2]
    assert (found[0][0]["due_at_its_end"], found[1][0]["state"]) == (True, "ready")


def test_a_run_by_name_is_of_the_newest_version(bench: Workbench) -> None:
    made = []
    for n in (7, 8):
        nap = {"key": "a", "kind": "wait", "with": {"seconds": n}}
        definitions.put(bench.db, parse_definition({"name": "named", "steps": [nap]}))
        made.append(bench.service.submit(Submission(name="named")))
    made.append(bench.service.submit(Submission(name="named", version="1")))
    assert [each.version for each in made] == ["1", "2", "1"]
    with pytest.raises(NotFound):
        bench.service.submit(Submission(name="nameless"))


def test_a_repeat_of_a_run_made_at_once_is_that_run(bench: Workbench) -> None:
    definition = parse_definition(ONE)
    for _ in range(2):  # now it is known
        bench.service.submit(Submission(definition=definition))
    first, again = (
        bench.service.submit(Submission(definition=definition, idempotency_key="k", input={"n": 1})) for _ in range(2)
    )
    assert (again.run_id, again.duplicate, again.state) == (first.run_id, True, "running")
    with pytest.raises(IdempotencyMismatch):
        bench.service.submit(Submission(definition=definition, idempotency_key="k", input={"n": 2}))
    assert bench.rows("SELECT count(*) AS count FROM runs")[0]["count"] == 3


def test_a_definition_that_was_deleted_is_stored_again(bench: Workbench) -> None:
    definition = parse_definition(ONE)
    first = [bench.service.submit(Submission(definition=definition)).run_id for _ in range(2)]
    with bench.db.transaction() as tx:
        tx.execute("DELETE FROM runs")
        tx.execute("DELETE FROM definitions")
    again = bench.service.submit(Submission(definition=definition))
    assert bench.rows("SELECT id FROM runs") == [{"id": again.run_id}]
    assert again.run_id not in first


def test_a_run_that_ends_with_its_last_step_ends_as_any_other(bench: Workbench) -> None:
    found = []
    for quickly in (False, True):
        run_id = bench.submit(*LINE["steps"], outputs=LINE["outputs"])
        assert bench.complete(run_id, 0, bench.claim(run_id, 0)) == "done"
        if quickly:
            token = bench.claim(run_id, 1)
            with bench.db.autocommit() as tx:
                changed = run_with_steps.conclude(tx, run_id, Done(1, b"1"), token, b'{"first": 1, "both": 2}')
            assert changed is not None
            assert (changed.id, changed.old, changed.state, changed.open_leaves) == (
                run_id,
                "running",
                "succeeded",
                0,
            )
        else:
            assert bench.complete(run_id, 1, bench.claim(run_id, 1)) == "done"
        found.append(left(bench, run_id))
    assert found[0] == found[1]
    assert found[0][0][0]["output"] == {"first": 1, "both": 2}


def test_a_worker_ends_the_run_with_the_last_step(bench: Workbench) -> None:
    run_id = bench.submit(*LINE["steps"], outputs=LINE["outputs"])
    carry(bench, run_id, 0)
    assert bench.run(run_id)["output"] == {"first": 7, "both": 14}
    bench.check_journal(run_id)
    # In one transaction with its last step.
    told = "SELECT DISTINCT xid FROM journal WHERE payload->>'state' = 'succeeded' AND aggregate_id = ANY(%(ids)s)"
    assert len(bench.rows(told, ids=[str(run_id), f"{run_id}/b"])) == 1


def test_the_output_of_a_run_may_need_what_another_message_brought(bench: Workbench) -> None:
    run_id = bench.submit(*LINE["steps"], outputs=LINE["outputs"])
    assert bench.complete(run_id, 0, bench.claim(run_id, 0)) == "done"  # with the output 1
    carry(bench, run_id, 1)
    assert bench.run(run_id)["output"] == {"first": 1, "both": 8}


def test_a_run_whose_output_can_not_be_made_fails_when_its_last_step_has_ended(bench: Workbench) -> None:
    run_id = bench.submit(*LINE["steps"], outputs={"none": "${{ steps.a.output / 0 }}"})
    carry(bench, run_id, 0)
    run = bench.run(run_id)
    assert (run["state"], run["output"], bench.steps(run_id)) == (
        "failed",
        None,
        {"a": "succeeded", "b": "succeeded"},
    )
    assert run["error"].startswith("outputs: ")


def test_the_last_step_of_a_paused_run_ends_alone(bench: Workbench) -> None:
    run_id = bench.submit(*ONE["steps"])
    token = bench.claim(run_id, 0)
    bench.service.pause(run_id, "ada")
    with bench.db.autocommit() as tx:
        assert run_with_steps.conclude(tx, run_id, Done(0, b"1"), token, b'{"a": 1}') is None
    run = bench.run(run_id)
    assert (run["state"], run["output"], run["open_leaves"], bench.steps(run_id)) == (
        "paused", None, 0, {"a": "succeeded"},
    )  # fmt: skip
    bench.service.resume(run_id, "ada")
    run = bench.run(run_id)
    assert (run["state"], run["output"]) == ("succeeded", {"a": 1})
    bench.check_journal(run_id)


def test_a_step_that_is_held_no_more_ends_no_run(bench: Workbench) -> None:
    run_id = bench.submit(*ONE["steps"])
    bench.claim(run_id, 0)
    before = left(bench, run_id)
    with pytest.raises(LeaseLost), bench.db.autocommit() as tx:
        run_with_steps.conclude(tx, run_id, Done(0, b"1"), new_id(), b"{}")
    assert left(bench, run_id) == before


def test_pause_and_the_last_step(bench: Workbench) -> None:
    seen = set()
    for _ in range(40):
        run_id = bench.submit(*ONE["steps"])
        told = bench.race(
            lambda run_id=run_id: [carry(bench, run_id, 0)], lambda run_id=run_id: bench.service.pause(run_id, "ada")
        )
        state = bench.run(run_id)["state"]
        assert state == ("paused" if isinstance(told[1], dict) else "succeeded")
        seen.add((state, bench.steps(run_id)["a"]))
        if state == "paused":
            bench.service.resume(run_id, "ada")
            bench.work(run_id)
            assert bench.run(run_id)["state"] == "succeeded"
        bench.check_journal(run_id)
    assert ("succeeded", "succeeded") in seen
    assert {("paused", "ready"), ("paused", "succeeded")} & seen
