"""What callers may do with runs: submit, steer, signal and decide. What is shown of them stands in ``reading.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Database, Transaction
from tasks.errors import Conflict, Forbidden, IdempotencyMismatch, NotFound, TooLarge, ValidationFailed
from tasks.ids import new_id
from tasks.nul import holds_nul
from tasks.settings import Settings
from tasks.workflows.reading import Reading
from tasks.workflows.settling import reopened
from tasks.workflows.states import RUN
from tasks.workflows.store import counters, runs, steps
from tasks.workflows.store.runs import Look
from tasks.workflows.store.steps import LeaseLost
from tasks.workflows.submitting import Submission, Submitted, submit, submit_at_once
from tasks.workflows.work import finishing, waiting
from tasks.workflows.work.contexts import Contexts, RunContext
from tasks.workflows.work.undoing import begin_undoing

Hint = Callable[[Mapping[UUID, int]], None]


class WorkflowService:
    """The workflow capability behind HTTP, the command line, Kafka, schedules and triggers.

    ``hint`` tells workers to attend to runs, given with their priorities; it is called after the commit, may fail,
    and never decides anything. Everything raises NotFound for a run or step that is not there, Conflict (with the
    state) where the state does not allow it, and DatabaseUnavailable or DatabaseBusy where nothing is known to be
    done.
    """

    def __init__(self, db: Database, settings: Settings, hint: Hint) -> None:
        self._db = db
        self._settings = settings
        self.hint = hint
        self.reading = Reading(db)

    def submit(self, submission: Submission, tx: Transaction | None = None) -> Submitted:
        """Makes a run, durable when this returns. With the caller's ``tx`` it stands or falls with that, and the
        caller calls ``hint`` after the commit. Raises as ``submitting.submit``."""
        if tx is not None:
            return submit(tx, submission, self._settings)
        with self._db.autocommit() as own:
            submitted = submit_at_once(own, submission, self._settings)
        if submitted is None:
            with self._db.transaction() as own:
                submitted = submit(own, submission, self._settings)
        if not submitted.duplicate:
            self.hint({submitted.run_id: submitted.priority})
        return submitted

    def pause(self, run_id: UUID, by: str) -> dict[str, Any]:
        """pending, running → paused: steps under way end, no other begins."""
        with self._db.transaction() as tx:
            tx.all(steps.QUERIES["lock_open"], {"run_id": run_id})
            changed = runs.change(tx, run_id, "paused", by=by)
            if changed is None:
                raise _not_now(runs.look(tx, run_id), "paused", "paused")
            tx.execute(steps.QUERIES["hold_ready"], {"run_id": run_id})
        return {"workflow_id": run_id, "state": "paused", "previous_state": changed.old}

    def resume(self, run_id: UUID, by: str) -> dict[str, Any]:
        """paused → running, or → pending again where it had not begun and its concurrency key is taken."""
        with self._db.transaction() as tx:
            look = runs.look(tx, run_id)
            if look.state != "paused":
                raise _not_now(look, "resumed", "running", sources=("paused",))
            begun = look.started_at is not None or finishing.may_begin(tx, Contexts(None).of(tx, run_id))
            state = "running" if begun else "pending"
            tx.all(steps.QUERIES["lock_open"], {"run_id": run_id})
            changed = runs.change(tx, run_id, state, sources=("paused",), by=by, event="workflow-resumed")
            if changed is None:
                raise _not_now(runs.look(tx, run_id), "resumed", "running", sources=("paused",))
            if begun:
                tx.execute(steps.QUERIES["release_ready"], {"run_id": run_id, "grace_s": steps.GRACE_S})
        self.hint({run_id: changed.priority})
        return {"workflow_id": run_id, "state": state, "previous_state": changed.old}

    def cancel(self, run_id: UUID, by: str, reason: str | None = None) -> dict[str, Any]:
        """An open run → cancelled, with every step that has not ended and every child that it waits for."""
        with self._db.transaction() as tx:
            changed = finishing.call_off(tx, run_id, "cancelled", by=by, reason=reason)
            if changed is None:
                raise _not_now(runs.look(tx, run_id), "cancelled", "cancelled")
        self.hint({run_id: changed.priority})
        return {"workflow_id": run_id, "state": "cancelled", "previous_state": changed.old}

    def retry(self, run_id: UUID, by: str) -> dict[str, Any]:
        """failed, cancelled, timed_out → running, from what did not end well; what succeeded is kept. → pending where
        its concurrency key is taken."""
        with self._db.transaction() as tx:
            look = runs.look(tx, run_id, lock=True)
            if look.state not in finishing.BAD:
                raise _not_now(look, "tried again", "running", sources=sorted(finishing.BAD))
            context = Contexts(None).of(tx, run_id)
            if tx.all(steps.QUERIES["compensations"], {"run_id": run_id}):
                raise Conflict("The run has been compensated, at least in part; submit it again.")
            states = [row["state"] for row in tx.all(steps.QUERIES["states"], {"run_id": run_id})]
            changes = reopened(context.places.parents, states, _choices(tx, context, states))
            leaves = sum(not context.children[place] for place in changes)
            timeout_s = context.definition.timeout_s
            begun = finishing.may_begin(tx, context)
            runs.change(
                tx,
                run_id,
                "running" if begun else "pending",
                sources=sorted(finishing.BAD),
                open_leaves=leaves,
                timeout_s=float(timeout_s),
                by=by,
                reason="retry",
            )
            tx.execute(runs.QUERIES["detach"], {"id": run_id})
            counters.reopen(tx, run_id, changes)
            if not begun:
                tx.execute(steps.QUERIES["hold_ready"], {"run_id": run_id})
        self.hint({run_id: look.priority})
        state = "running" if begun else "pending"
        return {"workflow_id": run_id, "state": state, "previous_state": look.state, "steps": len(changes)}

    def compensate(self, run_id: UUID, by: str) -> dict[str, Any]:
        """An ended run → compensating: what succeeded is undone, newest first. It takes a place of its concurrency
        key, and waits for none: it could wait for ever."""
        with self._db.transaction() as tx:
            look = runs.look(tx, run_id, lock=True)
            if not RUN.is_terminal(look.state):
                raise _not_now(look, "compensated", "compensating", sources=sorted(finishing.OVER - {"compensated"}))
            begin_undoing(tx, Contexts(None).of(tx, run_id), keep_error=True, by=by)
            state = runs.look(tx, run_id).state
        self.hint({run_id: look.priority})
        return {"workflow_id": run_id, "state": state, "previous_state": look.state}

    def signal(
        self,
        run_id: UUID,
        name: str,
        payload: Any,
        by: str,
        idempotency_key: str | None = None,
        idempotency_scope: str = "",
    ) -> dict[str, Any]:
        """Gives a run a signal: the first step that waits for its name goes on with ``payload``; where none does yet,
        the signal is kept for it. A repeat with the same key is the first one again; ``idempotency_scope`` says
        whose key that is.

        Raises:
            IdempotencyMismatch: the key was used before, for another signal.
        """
        text = self._text(payload)
        signal_id = new_id()
        with self._db.transaction() as tx:
            look = runs.look(tx, run_id)
            if RUN.is_terminal(look.state):
                raise Conflict(f"The run is {look.state}; it no longer takes signals.")
            tx.all(steps.QUERIES["lock_signals"], {"run_id": str(run_id)})
            row = {"id": signal_id, "run_id": run_id, "name": name, "payload": text, "sent_by": by}
            row |= {"idempotency_scope": idempotency_scope, "idempotency_key": idempotency_key}
            made = tx.one(waiting.SIGNALS["insert"], row)
            if made is None:
                return _signalled_before(tx, row)
            waiting.signal_in(tx, Contexts(None).of(tx, run_id), name)
        self.hint({run_id: look.priority})
        return {"workflow_id": run_id, "signal_id": signal_id, "name": name, "duplicate": False}

    def decide(self, run_id: UUID, key: str, approved: bool, by: str, comment: str = "") -> dict[str, Any]:
        """Approves or rejects a step that waits for a decision.

        Raises:
            Forbidden: the step names its approvers, and ``by`` is none of them.
        """
        with self._db.transaction() as tx:
            row = tx.one(steps.QUERIES["waiting_by_key"], {"run_id": run_id, "key": key})
            context = Contexts(None).of(tx, run_id)
            if row is None:
                raise NotFound(f"The run has no step '{key[:100]}'.")
            if row["state"] != "waiting" or row["waits_for"] != "decision":
                raise Conflict(f"The step is {row['state']}; it does not wait for a decision.")
            approvers = context.action(row["place"]).arguments.get("approvers")
            if approvers and by not in approvers:
                raise Forbidden(f"The step can be decided by {', '.join(approvers[:20])}, not by {by}.")
            decision = {"approved": True, "by": by, "comment": comment}
            try:
                if approved:
                    waiting.wake(tx, context, row["place"], "decision", decision)
                else:
                    waiting.reject(tx, context, row["place"], by, comment)
            except LeaseLost:
                raise Conflict("The step has been decided already.") from None
        self.hint({run_id: context.row.priority})
        return {"workflow_id": run_id, "key": key, "approved": approved, "by": by}

    def _text(self, payload: Any) -> str:
        text = orjson.dumps(payload)
        if len(text) > self._settings.workflow_input_limit_bytes:
            raise TooLarge(f"A payload takes at most {self._settings.workflow_input_limit_bytes} bytes.")
        if holds_nul(text):
            raise ValidationFailed("The payload holds a NUL character, which can't be stored.")
        return text.decode()


def _choices(
    tx: Transaction, context: RunContext, states: Sequence[str]
) -> dict[int, tuple[frozenset[int], frozenset[int]]]:
    """What the branches that succeeded name and chose, from their definitions and outputs."""
    places = context.places
    branches = [
        place for place, each in enumerate(places.traits) if each.kind == "branch" and states[place] == "succeeded"
    ]
    found = {}
    for place, (_, keys) in steps.results(tx, context.row.id, branches).items():
        arguments = context.action(place).arguments
        named = {key for case in arguments["cases"] for key in case["then"]} | set(arguments.get("otherwise", ()))
        chosen = frozenset(places.place_of[key] for key in keys)
        found[place] = (frozenset(places.place_of[key] for key in named), chosen)
    return found


def _not_now(look: Look, what: str, target: str, *, sources: Sequence[str] | None = None) -> Conflict:
    allowed = " or ".join(sorted(RUN.sources(target)) if sources is None else sources)
    return Conflict(f"The run is {look.state}; only one that is {allowed} can be {what}.")


def _signalled_before(tx: Transaction, row: Mapping[str, Any]) -> dict[str, Any]:
    known = tx.one(waiting.SIGNALS["by_key"], row)
    sent = orjson.loads(row["payload"])
    if known is None or known["name"] != row["name"] or orjson.dumps(known["payload"]) != orjson.dumps(sent):
        raise IdempotencyMismatch(f"The key {row['idempotency_key']!r} was used before for another signal.")
    return {"workflow_id": row["run_id"], "signal_id": known["id"], "name": row["name"], "duplicate": True}
