"""Steps that wait without a worker: how the wait begins, and what ends it. In the caller's transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.errors import BridgeError, DatabaseBusy, DatabaseUnavailable
from tasks.ids import new_id
from tasks.settings import Settings
from tasks.workflows import definitions
from tasks.workflows.attempt import Refused, StepError
from tasks.workflows.store import items, runs, steps
from tasks.workflows.store.steps import Claimed, Done, LeaseLost, Ways
from tasks.workflows.submitting import DEPTH, Parent, Submission, Submitted, submit
from tasks.workflows.work.after import After
from tasks.workflows.work.contexts import RunContext
from tasks.workflows.work.endings import complete_in, fail_in, fail_or_retry_in, must
from tasks.workflows.work.outcomes import Child, Failed, Waits

SIGNALS = Queries("tasks.workflows.store", "signals.sql")
# How often the clock looks whether a child, or a map's items, ended without anybody having told the step.
LOOK_AGAIN_S = 30.0
# A child run's name for a step that does not wait for it.
NOTHING = "nothing"


def begin_waiting(
    tx: Transaction, settings: Settings, context: RunContext, claimed: Claimed, token: UUID, waits: Waits
) -> After:
    """running → waiting, or on at once where what it waits for is there already. Raises LeaseLost."""
    if waits.waits_for == "signal":
        tx.all(steps.QUERIES["lock_signals"], {"run_id": str(context.row.id)})
    if waits.child is not None:
        return _begin_child(tx, settings, context, claimed, token, waits, waits.child)
    if waits.items is not None and len(waits.items) == 0:
        return _complete(tx, context, Done(claimed.place, b"[]", waits.arguments), token)
    if waits.items is not None:
        open_items = items.begin(tx, context.row.id, claimed.place, waits.items)
        _wait(tx, context, claimed, token, replace(waits, delay_s=LOOK_AGAIN_S), open_items=open_items)
        ended = None if open_items else items_ended(tx, settings, context, claimed.place)
        return After(items=True) if ended is None else ended
    _wait(tx, context, claimed, token, waits)
    if waits.waits_for == "signal":
        taken = _take(tx, context.row.id, claimed.place, waits.signal_name or "")
        if taken is not None:
            return wake(tx, context, claimed.place, "signal", taken)
    return After(timer_s=waits.delay_s)


def wake(tx: Transaction, context: RunContext, place: int, waits_for: str, output: Any) -> After:
    """waiting → succeeded: what it waited for has come. Raises LeaseLost where it waits for that no more."""
    token = new_id()
    parameters = {"run_id": context.row.id, "place": place, "waits_for": waits_for, "token": token}
    row = tx.one(steps.QUERIES["wake"], {**parameters, "lease_s": LOOK_AGAIN_S})
    if row is None:
        raise LeaseLost
    text = output if isinstance(output, bytes) else orjson.dumps(output)
    arguments = None if row["arguments"] is None else orjson.dumps(row["arguments"])
    return _complete(tx, context, Done(place, text, arguments), token)


def give_up(
    tx: Transaction, context: RunContext, place: int, attempt: int, error: StepError, *, timed_out: bool = False
) -> After:
    """waiting → retrying or failed: what it waited for went wrong, or did not come. Raises LeaseLost."""
    return fail_or_retry_in(tx, context, place, attempt, None, Failed(error, timed_out))


def reject(tx: Transaction, context: RunContext, place: int, by: str, comment: str) -> After:
    """waiting → failed: a human said no. Raises LeaseLost."""
    said = f": {comment}" if comment else ""
    return fail_in(tx, context, place, None, Failed(Refused(f"Rejected by {by}{said}", error_type="Rejected")))


def time_is_up(tx: Transaction, context: RunContext, place: int, waits_for: str) -> After:
    """What the clock does with a step that waited for a time, a signal or a decision. Raises LeaseLost."""
    arguments = context.action(place).arguments
    on_timeout = arguments.get("on_timeout", "fail")
    if waits_for == "time" or (waits_for == "signal" and on_timeout == "continue"):
        return wake(tx, context, place, waits_for, None)
    if waits_for == "decision" and on_timeout == "approve":
        return wake(
            tx, context, place, waits_for, {"approved": True, "by": None, "comment": "nobody decided in time"}
        )
    if waits_for == "decision" and on_timeout == "reject":
        return reject(tx, context, place, "the clock", "nobody decided in time")
    what = "decision" if waits_for == "decision" else f"signal '{arguments.get('signal')}'"
    return fail_in(
        tx, context, place, None, Failed(Refused(f"No {what} came in time.", error_type="TimedOut"), timed_out=True)
    )


def child_ended(tx: Transaction, context: RunContext, place: int, attempt: int, child_id: UUID) -> After | None:
    """What the end of its child means for a step; None while the child goes on. Raises LeaseLost."""
    child = runs.look(tx, child_id)
    if child.state == "succeeded":
        return wake(tx, context, place, "run", child.output)
    if child.state in ("failed", "timed_out", "cancelled", "compensated"):
        detail = f"The child run {child_id} is {child.state}" + (f": {child.error}" if child.error else ".")
        return give_up(tx, context, place, attempt, StepError(detail, error_type="ChildFailed"))
    return None


def items_ended(tx: Transaction, settings: Settings, context: RunContext, place: int) -> After | None:
    """What the end of all its items means for a map; None while some are open. Raises LeaseLost."""
    found = items.summary(tx, context.row.id, place)
    if found.open:
        return None
    if found.error is not None and context.action(place).arguments.get("on_item_failure") != "collect":
        detail = f"item {found.first_failed}: {found.error}"
        error = Refused(detail, error_type=found.error_code)
        return fail_in(tx, context, place, None, Failed(error))
    if found.bytes > settings.workflow_output_limit_bytes:
        detail = f"The outputs take {found.bytes} bytes; {settings.workflow_output_limit_bytes} are allowed."
        return fail_in(tx, context, place, None, Failed(Refused(detail, error_type="TooLarge")))
    return wake(tx, context, place, "items", items.outputs(tx, context.row.id, place))


def signal_in(tx: Transaction, context: RunContext, name: str) -> After:
    """A signal was stored in this transaction: the first step that waits for its name takes the oldest one."""
    row = tx.one(SIGNALS["waiting"], {"run_id": context.row.id, "name": name})
    if row is None:
        return After()
    payload = _take(tx, context.row.id, row["place"], name)
    return After() if payload is None else wake(tx, context, row["place"], "signal", payload)


def _begin_child(
    tx: Transaction,
    settings: Settings,
    context: RunContext,
    claimed: Claimed,
    token: UUID,
    waits: Waits,
    child: Child,
) -> After:
    waiting = waits.waits_for != NOTHING
    parent = Parent(context.row.id, claimed.place if waiting else None, context.row.depth + 1)
    try:
        if parent.depth > DEPTH:
            raise Refused(f"Child runs go {DEPTH} deep at most.", error_type="TooDeep")
        with tx.savepoint():
            version = child.version or definitions.version_for(tx, child.name, context.row.id)
            made = submit(tx, _submission(context, replace(child, version=version)), settings, parent)
    except (DatabaseBusy, DatabaseUnavailable):
        raise
    except (BridgeError, Refused) as problem:
        told = "; ".join([str(problem), *(f"{e.pointer}: {e.detail}" for e in getattr(problem, "errors", ()))])
        error = Refused(told, error_type=type(problem).__name__)
        return fail_in(tx, context, claimed.place, token, Failed(error, arguments=waits.arguments))
    if waiting:
        _wait(tx, context, claimed, token, replace(waits, delay_s=LOOK_AGAIN_S), child=made)
        return After(child=made.run_id)
    output = orjson.dumps({"workflow_id": str(made.run_id), "name": made.name, "version": made.version})
    after = _complete(tx, context, Done(claimed.place, output, waits.arguments), token)
    return replace(after, child=made.run_id)


def _submission(context: RunContext, child: Child) -> Submission:
    return Submission(
        name=child.name,
        version=child.version,
        input=child.input,
        priority=context.row.priority,
        correlation_id=context.row.correlation_id,
        submitted_by=f"run:{context.row.id}",
    )


def _wait(
    tx: Transaction,
    context: RunContext,
    claimed: Claimed,
    token: UUID,
    waits: Waits,
    *,
    child: Submitted | None = None,
    open_items: int | None = None,
) -> None:
    must(
        steps.change(
            tx,
            context.row.id,
            claimed.place,
            "waiting",
            token=token,
            delay_s=waits.delay_s,
            waits_for=waits.waits_for,
            signal_name=waits.signal_name,
            items_open=open_items,
            child_run_id=child.run_id if child else None,
            arguments=waits.arguments,
        )
    )


def _complete(tx: Transaction, context: RunContext, done: Done, token: UUID) -> After:
    ways = Ways(context.children, (), new_id(), LOOK_AGAIN_S)
    return complete_in(tx, context, [done], token, ways)


def _take(tx: Transaction, run_id: UUID, place: int, name: str) -> Any:
    row = tx.one(SIGNALS["take"], {"run_id": run_id, "place": place, "name": name})
    return None if row is None else orjson.dumps(row["payload"])
