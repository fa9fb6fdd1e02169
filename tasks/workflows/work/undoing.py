"""Compensation: what succeeded is undone, newest first, by steps in a line behind the definition's own."""

from __future__ import annotations

import orjson

from tasks.db.pool import Transaction
from tasks.errors import Conflict
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.states import RUN
from tasks.workflows.store import runs, steps
from tasks.workflows.work.after import After
from tasks.workflows.work.contexts import RunContext, undo_key


def begin_undoing(
    tx: Transaction,
    context: RunContext,
    *,
    error_code: str | None = None,
    error: str | None = None,
    keep_error: bool = False,
    by: str | None = None,
) -> After:
    """Brings the run into ``compensating``, with a step for each thing to undo; a run with nothing to undo passes
    through it. The caller has ended or locked all open steps.

    Raises:
        Conflict: the run's state does not allow it.
    """
    run_id = context.row.id
    stored_steps, traits = context.places.steps, context.places.traits
    # What takes the place of one that did not come to its end goes on with its versions.
    dropped = {
        row["compensates"]: row["version"] for row in tx.all(steps.QUERIES["drop_compensations"], {"run_id": run_id})
    }
    found = [row["place"] for row in tx.all(steps.QUERIES["to_undo"], {"run_id": run_id})]
    undoable = [place for place in found if traits[place].is_undone]
    last = tx.one(steps.QUERIES["last_place"], {"run_id": run_id}) or {"place": 0}
    rows = []
    for number, place in enumerate(undoable):
        step = stored_steps[place]
        kind = step.compensate.kind if step.compensate else step.kind
        rows.append(
            {
                "place": last["place"] + 1 + number,
                "key": undo_key(step.key),
                "kind": kind,
                "version": dropped.get(place, 1),
                "pending": int(number > 0),
                "queue": step.queue or KINDS[kind].queue,
                "priority": step.priority or context.row.priority,
                "compensates": place,
            }
        )
    changed = runs.change(
        tx,
        run_id,
        "compensating",
        error_code=error_code,
        error=error,
        keep_error=keep_error,
        open_leaves=int(bool(rows)),
        by=by,
    )
    if changed is None:
        look = runs.look(tx, run_id)
        allowed = " or ".join(sorted(RUN.terminal.intersection(RUN.sources("compensating"))))
        raise Conflict(f"The run is {look.state}; only one that is {allowed} can be compensated.")
    if not rows:
        ended = runs.change(tx, run_id, "compensated", keep_error=True, by=by)
        return After(ended=ended)
    parameters = {"run_id": run_id, "rows": orjson.dumps(rows).decode(), "grace_s": steps.GRACE_S}
    tx.execute(steps.QUERIES["insert_compensations"], parameters)
    return After(ready=(rows[0]["place"],), ended=changed)
