"""The beginning and the end of runs, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Transaction
from tasks.nul import holds_nul
from tasks.settings import Settings
from tasks.workflows.definition.deciding import run_output
from tasks.workflows.expressions.errors import ExpressionError
from tasks.workflows.states import BLOCKING, RUN
from tasks.workflows.store import runs, steps
from tasks.workflows.store.runs import Changed
from tasks.workflows.work.contexts import Contexts, RunContext

OVER = RUN.terminal
BAD = frozenset({"failed", "cancelled", "timed_out"})


def begin(tx: Transaction, contexts: Contexts, run_id: UUID) -> Changed | None:
    """pending → running, where its concurrency key allows it; None where it does not, or it began before."""
    if not may_begin(tx, contexts.of(tx, run_id)):
        return None
    tx.all(steps.QUERIES["lock_open"], {"run_id": run_id})
    changed = runs.change(tx, run_id, "running", sources=("pending",))
    if changed is not None:
        tx.execute(steps.QUERIES["release_ready"], {"run_id": run_id, "grace_s": steps.GRACE_S})
    return changed


def may_begin(tx: Transaction, context: RunContext) -> bool:
    """Whether the run's concurrency key has a place; until the transaction ends nobody else takes it."""
    concurrency = context.definition.concurrency
    limit = concurrency.limit if concurrency else 0
    return runs.may_begin(tx, context.row.name, context.row.concurrency_key, limit)


def begin_next(tx: Transaction, contexts: Contexts, name: str, concurrency_key: str) -> Changed | None:
    """Begins the run that waited longest for a key that is free now, the most urgent first."""
    waiting = runs.next_of_key(tx, name, concurrency_key)
    if waiting is None:
        return None
    return begin(tx, contexts, waiting)


def finish(tx: Transaction, settings: Settings, contexts: Contexts, run_id: UUID) -> Changed | None:
    """running → succeeded or failed, compensating → compensated, where no leaf is open; None where one is."""
    look = runs.look(tx, run_id)
    if look.open_leaves:
        return None
    if look.state == "compensating":
        return runs.change(tx, run_id, "compensated", leaves=0, keep_error=True)
    if look.state != "running":
        return None
    context = contexts.of(tx, run_id)
    trouble = tx.one(steps.QUERIES.prepared("trouble"), {"run_id": run_id, "states": sorted(BLOCKING)})
    if trouble is not None and trouble["cancelled"]:
        shown = ", ".join(trouble["first"])
        return runs.change(
            tx, run_id, "failed", sources=("running",), leaves=0, error_code="StepsFailed", error=f"steps: {shown}"
        )
    try:
        results = steps.results(tx, run_id, context.workings.output_reads)
        output = output_of(settings, context, results)
    except ExpressionError as problem:
        return runs.change(
            tx,
            run_id,
            "failed",
            sources=("running",),
            leaves=0,
            error_code=type(problem).__name__,
            error=f"outputs: {problem.detail}",
        )
    return runs.change(tx, run_id, "succeeded", leaves=0, output=output)


def call_off(
    tx: Transaction, run_id: UUID, state: str, *, by: str | None = None, reason: str | None = None
) -> Changed | None:
    """Brings an open run into ``cancelled`` or ``timed_out``, with every step that has not ended; None where its
    state does not allow it."""
    tx.all(steps.QUERIES["lock_open"], {"run_id": run_id})
    words = {"error_code": "TimedOut", "error": "The run's timeout_s has passed."} if state == "timed_out" else {}
    changed = runs.change(tx, run_id, state, by=by, reason=reason, open_leaves=0, **words)  # type: ignore[arg-type]
    if changed is not None:
        steps.cancel_open(tx, run_id, reason or state)
    return changed


def output_of(settings: Settings, context: RunContext, results: Mapping[int, tuple[str, Any]]) -> bytes:
    """The output of a run as JSON text; ``results``: state and output of what it is made of (``output_reads``).

    Raises:
        ExpressionError: it can't be made, or not be kept.
    """
    places, workings = context.places, context.workings
    values = {places.keys[place]: {"state": state, "output": output} for place, (state, output) in results.items()}
    output = run_output(
        context.definition,
        [places.steps[place] for place in workings.giving],
        (places.keys[place] for place in places.leaves),
        {"input": context.row.input, "run": context.scope(), "steps": values},
    )
    text = orjson.dumps(output)
    if holds_nul(text):
        raise ExpressionError("the run's output holds a NUL, which can't be kept")
    if len(text) > settings.workflow_output_limit_bytes:
        raise ExpressionError(
            f"the run's output takes {len(text)} bytes; {settings.workflow_output_limit_bytes} are allowed"
        )
    return text
