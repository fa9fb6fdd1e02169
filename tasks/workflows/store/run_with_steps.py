"""Rows of a run and of its steps in one statement: how a run is made, taken up by a worker, and ended.

``runs.py`` and ``steps.py`` have what concerns one of the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.workflows.store import runs, steps
from tasks.workflows.store.runs import Changed, RunRow
from tasks.workflows.store.steps import Done, LeaseLost

QUERIES = Queries("tasks.workflows.store", "run_with_steps.sql")


def submit(tx: Transaction, row: Mapping[str, Any], rows: str, *, begun: bool) -> bool:
    """Makes a run with its first steps, ``rows`` as ``steps.insert`` takes them; ``begun``: it is running at once.
    False where there is a run of its idempotency key, or no such definition any more: nothing is done."""
    graces = {"grace_s": runs.GRACE_S, "step_grace_s": steps.GRACE_S}
    return tx.one(QUERIES.prepared("submit"), {**row, **graces, "rows": rows, "begun": begun}) is not None


def under_way(tx: Transaction, run_id: UUID, limit: int) -> tuple[RunRow, list[int]] | None:
    """What does not change of a run, and the places that wait for a worker, the most urgent first; None where it is
    not running, or all of its steps have ended."""
    row = tx.one(QUERIES.prepared("under_way"), {"id": run_id, "limit": limit})
    if row is None:
        return None
    ready: list[int] = row.pop("ready")
    return runs.row_of(row), ready


def conclude(tx: Transaction, run_id: UUID, done: Done, token: UUID, output: bytes) -> Changed | None:
    """running -> succeeded, for the only leaf of a run and the run itself; None where the run is paused: then only
    the step has ended.

    Raises:
        LeaseLost: the step is not held under the token.
    """
    row = tx.one(
        QUERIES.prepared("conclude"),
        {
            "run_id": run_id,
            "place": done.place,
            "step_output": done.output.decode(),
            "arguments": None if done.arguments is None else done.arguments.decode(),
            "token": token,
            "output": output.decode(),
        },
    )
    if row is None:
        raise LeaseLost
    return Changed(**row) if row.pop("over") else None
