"""What the end of a step makes of the rows of its run, in the caller's transaction.

``writing.py`` calls these for the outcomes of attempts, ``waiting.py`` for what waited.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from uuid import UUID

from tasks.db.pool import Transaction
from tasks.workflows import functions
from tasks.workflows.attempt import Effect, retries
from tasks.workflows.definition.model import Action, RetryPolicy
from tasks.workflows.settling import End
from tasks.workflows.store import counters, runs, steps
from tasks.workflows.store.steps import Completed, Done, LeaseLost, Ways
from tasks.workflows.work.after import NOTHING, After
from tasks.workflows.work.contexts import RunContext
from tasks.workflows.work.outcomes import Failed
from tasks.workflows.work.undoing import begin_undoing

OPEN_RUN = ("running", "paused")


def retry_policy(action: Action) -> RetryPolicy:
    """What the action says, else its function, else the default."""
    if action.retry is not None:
        return action.retry
    name = action.arguments.get("task") if action.kind == "task" else None
    if name in functions.names():
        return functions.function(str(name)).retry or RetryPolicy()
    return RetryPolicy()


def retry_delay_s(policy: RetryPolicy, attempt: int) -> float:
    """How long to wait after this attempt."""
    return policy.delay_s(attempt, random.random())  # noqa: S311 - spread, not secrecy


def complete_in(
    tx: Transaction,
    context: RunContext,
    done: Sequence[Done],
    token: UUID,
    ways: Ways,
    effects: Sequence[Effect] = (),
    choice: End | None = None,
) -> After:
    """``complete`` in the caller's transaction, with effects first, so that children are locked shortly."""
    for effect in effects:
        effect(tx)
    completed = steps.complete(tx, context.row.id, done, token, ways, choice)
    after = after_of(completed)
    if not completed.unsettled:
        return after
    settled = settle(tx, context, {}, completed.unsettled)
    return After(after.ready + settled.ready, after.next, after.finish or settled.finish)


def settle(tx: Transaction, context: RunContext, ends: Mapping[int, End], unsettled: Sequence[int] = ()) -> After:
    """Carries the ends of steps that were not completed down the graph."""
    below = context.children
    changed = counters.settle(tx, context.row.id, below, ends, unsettled)
    over = sum(not below[place] for place, state in changed.items() if state in ("skipped", "cancelled"))
    over += sum(not below[place] for place in ends)
    finish = False
    if over:
        row = tx.one(
            steps.QUERIES["end_leaves"],
            {"run_id": context.row.id, "leaves": over, "grace_s": steps.GRACE_S},
        )
        finish = row is not None and row["open_leaves"] == 0
    return After(tuple(place for place, state in sorted(changed.items()) if state == "ready"), finish=finish)


def fail_or_retry_in(
    tx: Transaction, context: RunContext, place: int, attempt: int, token: UUID | None, failed: Failed
) -> After:
    """The attempt has failed: the next one is due later, or there is none. ``token`` None: the step waits.

    Raises:
        LeaseLost: the step is elsewhere by now.
    """
    policy = retry_policy(context.action(place))
    if not retries(policy, failed.error, attempt):
        return fail_in(tx, context, place, token, failed)
    delay_s = max(retry_delay_s(policy, attempt), failed.error.retry_after_s or 0.0)
    must(
        steps.change(
            tx,
            context.row.id,
            place,
            "retrying",
            token=token,
            sources=("waiting",) if token is None else ("running",),
            delay_s=delay_s,
            arguments=failed.arguments,
            error_code=failed.error.error_type,
            error=str(failed.error),
        )
    )
    return After(timer_s=delay_s)


def fail_in(
    tx: Transaction,
    context: RunContext,
    place: int,
    token: UUID | None,
    failed: Failed,
    *,
    overdue: bool = False,
) -> After:
    """The step has failed for good; what that means for the run is the definition's ``on_failure``. ``overdue``: only
    where its lease is over still.

    Raises:
        LeaseLost: the step is elsewhere by now.
    """
    run_id = context.row.id
    if context.on_failure == "continue" and place not in context.undoing:
        state = _fail_step(tx, run_id, place, token, failed, overdue)
        return settle(tx, context, {place: End(state)})
    tx.all(steps.QUERIES["lock_open"], {"run_id": run_id})
    state = _fail_step(tx, run_id, place, token, failed, overdue)
    look = runs.look(tx, run_id, lock=True)
    cause = f"step {context.key(place)}: {failed.error}"
    if place in context.undoing:
        steps.cancel_open(tx, run_id, "a compensation failed")
        ended = runs.change(
            tx, run_id, "failed", sources=("compensating",), error_code="CompensationFailed", error=cause
        )
        return After(ended=ended)
    if look.state not in OPEN_RUN:
        return NOTHING
    steps.cancel_open(tx, run_id, f"step {context.key(place)} {state}")
    if context.on_failure == "compensate":
        return begin_undoing(tx, context, error_code=failed.error.error_type, error=cause)
    ended = runs.change(
        tx, run_id, "failed", sources=OPEN_RUN, error_code=failed.error.error_type, error=cause, open_leaves=0
    )
    return After(ended=ended)


def _fail_step(tx: Transaction, run_id: UUID, place: int, token: UUID | None, failed: Failed, overdue: bool) -> str:
    state = "timed_out" if failed.timed_out else "failed"
    must(
        steps.change(
            tx,
            run_id,
            place,
            state,
            token=token,
            sources=("waiting",) if token is None else ("running",),
            arguments=failed.arguments,
            error_code=failed.error.error_type,
            error=str(failed.error),
            overdue=overdue,
        )
    )
    return state


def after_of(completed: Completed) -> After:
    return After(completed.ready, completed.next, finish=completed.open_leaves == 0)


def must(old: str | None) -> None:
    """Raises LeaseLost where a guarded change found the step elsewhere."""
    if old is None:
        raise LeaseLost
