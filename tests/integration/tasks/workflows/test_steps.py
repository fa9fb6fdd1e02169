"""Rows of steps: the quick way down a line leaves the same rows behind as the way for any graph."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tasks.db.pool import Database
from tasks.ids import new_id
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.store import steps
from tasks.workflows.store.steps import Completed, Done, LeaseLost, Ways
from tasks.workflows.submitting import Submission
from tests.integration.tasks.workflows.submitting import Runs

LEASE_S = 10.0
LINE = {
    "name": "line",
    "steps": [
        {"key": key, "kind": "wait", "needs": needs, "with": {"seconds": 1}}
        for key, needs in (("a", []), ("b", ["a"]), ("c", ["b"]))
    ],
}
ROWS = """
SELECT place, state, version, attempt, pending, passed, blocked, output, arguments, bundled,
       lease_token IS NULL AS free, due_at IS NULL AS never_due, due_at > now() + interval '7 seconds' AS leased,
       started_at IS NULL AS not_begun, finished_at IS NULL AS open
FROM steps WHERE run_id = %(run_id)s ORDER BY place
"""
EVENTS = """
SELECT version, payload - 'workflow_id' - 'duration_ms' AS payload FROM journal
WHERE aggregate_type = 'step' AND split_part(aggregate_id, '/', 1) = %(run_id)s ORDER BY id
"""


def begun(db: Database, runs: Runs) -> tuple[UUID, UUID]:
    """A run of the line whose first step is held under the token."""
    run_id = runs.submit(Submission(definition=parse_definition(LINE))).run_id
    token = new_id()
    with db.transaction() as tx:
        [_] = steps.claim(tx, run_id, [0], token, LEASE_S)
    return run_id, token


def left(db: Database, run_id: UUID) -> tuple[list[Any], list[Any]]:
    """What stands in the rows and in the journal, without what differs from run to run."""
    with db.transaction() as tx:
        return tx.all(ROWS, {"run_id": run_id}), tx.all(EVENTS, {"run_id": str(run_id)})


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("claims", [False, True])
def test_a_step_of_a_line_ends_as_any_other(db: Database, runs: Runs, paused: bool, claims: bool) -> None:
    done = Done(0, b'{"n": 1}', b"[2]")
    told: list[Completed] = []
    found = []
    for quickly in (False, True):
        run_id, token = begun(db, runs)
        if paused:
            runs.pause(run_id, "ada")
        next_token = new_id()
        with db.autocommit() as tx:
            if quickly:
                told.append(steps.advance(tx, run_id, done, token, 1, next_token if claims else None, LEASE_S))
            else:
                ways = Ways([(1,), (2,), ()], [1] if claims else [], next_token, LEASE_S)
                told.append(steps.complete(tx, run_id, [done], token, ways))
        found.append(left(db, run_id))
    assert told[0] == told[1]
    assert found[0] == found[1]
    assert told[0].next == (1 if claims and not paused else None)
    assert [row["state"] for row in found[0][0]] == ["succeeded", "running" if told[0].next else "ready", "pending"]


def test_a_step_that_is_held_no_more_ends_nothing(db: Database, runs: Runs) -> None:
    run_id, _ = begun(db, runs)
    before = left(db, run_id)
    with pytest.raises(LeaseLost), db.autocommit() as tx:
        steps.advance(tx, run_id, Done(0, b"1"), new_id(), 1, new_id(), LEASE_S)
    assert left(db, run_id) == before
