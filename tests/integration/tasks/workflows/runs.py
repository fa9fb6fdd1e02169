"""Puts runs into the tables in whatever state a test of what is shown wants to see them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Database, Transaction
from tasks.ids import new_id
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.workflows import definitions
from tasks.workflows.definition.model import StepDefinition, WorkflowDefinition
from tasks.workflows.states import RUN, STEP

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
_RUN = """
INSERT INTO runs (id, definition_id, name, definition_version, state, priority, tags, input, output, correlation_id,
                  submitted_by, open_leaves, deadline_at, started_at, finished_at, parent_run_id)
VALUES (%(id)s, %(definition_id)s, %(name)s, %(version)s, %(state)s, 5, %(tags)s, %(input)s::jsonb, %(output)s::jsonb,
        'corr', 'ada', 0, now() + interval '1 hour', now(), %(finished_at)s, %(parent_id)s)
"""
_STEPS = """
INSERT INTO steps (run_id, place, key, kind, state, pending, queue, priority, attempt, lease_token, waits_for,
                   signal_name, arguments, output, error, started_at, finished_at, due_at)
SELECT %(id)s, place, key, kind, state, pending, 'workflows', 5, coalesce(attempt, 1),
       CASE WHEN state = 'running' THEN gen_random_uuid() END, waits_for, signal_name, arguments, output, error,
       started_at, finished_at, due_at
FROM jsonb_to_recordset(%(rows)s::jsonb) AS row (
    place integer, key text, kind text, state text, pending integer, attempt integer, waits_for text,
    signal_name text, arguments jsonb, output jsonb, error text, started_at timestamptz, finished_at timestamptz,
    due_at timestamptz
)
"""


def put_run(
    db: Database,
    definition: WorkflowDefinition,
    state: str = "running",
    steps: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    parent_id: UUID | None = None,
    tags: tuple[str, ...] = (),
    input: Any = None,
    output: Any = None,
) -> UUID:
    """A run of ``definition`` whose steps have the columns that ``steps`` says; others are pending."""
    run_id = new_id()
    with db.transaction() as tx:
        stored = definitions.inline(tx, definition)
        tx.execute(
            _RUN,
            {
                "id": run_id,
                "definition_id": stored.id,
                "name": stored.name,
                "version": stored.version,
                "state": state,
                "tags": list(tags),
                "input": orjson.dumps(input).decode(),
                "output": None if output is None else orjson.dumps(output).decode(),
                "finished_at": BEGIN + timedelta(hours=1) if RUN.is_terminal(state) else None,
                "parent_id": parent_id,
            },
        )
        given = steps or {}
        rows = [_row(place, step, given) for place, step in enumerate(stored.places.steps)]
        tx.execute(_STEPS, {"id": run_id, "rows": orjson.dumps(rows).decode()})
        append(tx, [JournalEvent("run", str(run_id), 1, "workflow-submitted", {"state": "pending"})])
    return run_id


def tell(tx: Transaction, run_id: UUID, key: str, *changes: Mapping[str, Any]) -> None:
    """Journal rows of a step's changes of state, as the store writes them."""
    append(
        tx,
        [
            JournalEvent("step", f"{run_id}/{key}", version, "workflow-step-changed", change)
            for version, change in enumerate(changes, 2)
        ],
    )


def _row(place: int, step: StepDefinition, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    own = given.get(step.key, {})
    pending = sum(not STEP.is_terminal(given.get(key, {}).get("state", "pending")) for key in step.needs)
    state = own.get("state", "pending")
    ended = {"finished_at": BEGIN + timedelta(seconds=place + 1)} if STEP.is_terminal(state) else {}
    begun = {} if state in ("pending", "ready") else {"started_at": BEGIN + timedelta(seconds=place)}
    row = {"place": place, "key": step.key, "kind": step.kind, "state": state, "pending": pending}
    return {**row, **begun, **ended, **own}
