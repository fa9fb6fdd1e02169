"""Writes the outcomes of attempts, one transaction each, under the token of the lease."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from tasks.runtime import Runtime
from tasks.workflows.attempt import Effect
from tasks.workflows.settling import End
from tasks.workflows.store import run_with_steps, steps
from tasks.workflows.store.steps import Claimed, Done, LeaseLost, Ways
from tasks.workflows.work.after import After
from tasks.workflows.work.contexts import RunContext
from tasks.workflows.work.endings import after_of, complete_in, fail_or_retry_in, must, settle
from tasks.workflows.work.outcomes import Failed, Lost, Outcome, Released, Skipped, Succeeded, Waits
from tasks.workflows.work.waiting import begin_waiting


class Writer:
    """Ends attempts in the database of ``runtime``. Everything raises LeaseLost where the step is held no more,
    DatabaseUnavailable and DatabaseBusy where it is not known to be done."""

    def __init__(self, runtime: Runtime) -> None:
        self._settings = runtime.settings
        self._db = runtime.db

    def complete(
        self,
        context: RunContext,
        done: Sequence[Done],
        token: UUID,
        next_token: UUID,
        *,
        candidates: Sequence[int] = (),
        effects: Sequence[Effect] = (),
        choice: End | None = None,
        output: bytes | None = None,
    ) -> After:
        """running → succeeded, all of these or none. One of the ``candidates`` that becomes ready by it is claimed at
        once under ``next_token``. ``output``: the run's, where it ends with this one step."""
        if output is not None and not effects:
            with self._db.autocommit() as tx:
                ended = run_with_steps.conclude(tx, context.row.id, done[0], token, output)
            return After(finish=True) if ended is None else After(ended=ended)
        lease_s = self._settings.workflow_lease_s
        ways = Ways(context.children, candidates, next_token, lease_s)
        many = sum(len(context.children[one.place]) for one in done) > steps.MANY
        if context.workings.plain and not effects and choice is None and not many:
            follower = context.follower(done[0].place) if len(done) == 1 else None
            with self._db.autocommit() as tx:
                if follower is None:
                    return after_of(steps.complete(tx, context.row.id, done, token, ways))
                its_token = next_token if follower in candidates else None
                return after_of(steps.advance(tx, context.row.id, done[0], token, follower, its_token, lease_s))
        with self._db.transaction() as tx:
            return complete_in(tx, context, done, token, ways, effects, choice)

    def end(self, context: RunContext, claimed: Claimed, token: UUID, outcome: Outcome) -> After:
        """Any outcome but a success."""
        run_id, place = context.row.id, claimed.place
        if isinstance(outcome, Lost | Succeeded):
            raise LeaseLost
        with self._db.transaction() as tx:
            match outcome:
                case Released(delay_s):
                    must(steps.change(tx, run_id, place, "ready", token=token, delay_s=delay_s, uncounted="always"))
                    return After(timer_s=delay_s)
                case Skipped():
                    must(steps.change(tx, run_id, place, "skipped", token=token))
                    return settle(tx, context, {place: End("skipped")})
                case Waits():
                    return begin_waiting(tx, self._settings, context, claimed, token, outcome)
                case Failed():
                    return fail_or_retry_in(tx, context, place, claimed.attempt, token, outcome)
