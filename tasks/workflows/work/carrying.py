"""What a message about steps starts: they are claimed, done and ended, and what becomes ready is gone on with.

A worker that has just ended a step goes straight on with one that waited for it alone, claimed in the same statement,
within a slice of time. Many short steps in one message are claimed and ended together, more at a time as long as they
are short; when they turn out not to be, those that are left are sent to others.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from tasks.errors import DatabaseBusy, DatabaseUnavailable, NotFound
from tasks.ids import new_id
from tasks.queue import shutdown
from tasks.queue.nudges import tell_of_journal
from tasks.runtime import Runtime
from tasks.workflows.expressions.errors import ExpressionError
from tasks.workflows.store.steps import Claimed, Done, LeaseLost
from tasks.workflows.work.after import NOTHING, After
from tasks.workflows.work.batches import Batch, Good
from tasks.workflows.work.canvas import Trip
from tasks.workflows.work.claiming import BATCH_S, MOST, Claims
from tasks.workflows.work.contexts import Contexts, RunContext
from tasks.workflows.work.durations import Durations
from tasks.workflows.work.finishing import output_of
from tasks.workflows.work.following import Following
from tasks.workflows.work.leases import Lease, Leases
from tasks.workflows.work.outcomes import Outcome, Succeeded
from tasks.workflows.work.performing import Performer
from tasks.workflows.work.reading import Outputs
from tasks.workflows.work.writing import Writer

log = logging.getLogger(__name__)

_SLOW_S = 0.1
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0
_PASSING = (DatabaseUnavailable, DatabaseBusy)
Act = Callable[[], After]


@dataclass(frozen=True)
class Under:
    """Under which token steps are held, under which the next one would be, and the lease of the first."""

    token: UUID
    next_token: UUID
    lease: Lease


class Carrier:
    """Carries the steps of one message."""

    def __init__(self, runtime: Runtime, following: Following, trip: Trip) -> None:
        self._runtime = runtime
        self._db = runtime.db
        self._lease_s = runtime.settings.workflow_lease_s
        self._contexts = runtime.kept(Contexts)
        self._leases = runtime.kept(Leases)
        self._performer = runtime.kept(Performer)
        self._writer = Writer(runtime)
        self._outputs = Outputs(runtime.db)
        self._durations = runtime.kept(Durations)
        self._following = following
        self._trip = trip
        self._done = 0
        self._claims = Claims(runtime, following, trip)

    def carry(self, run_id: UUID, places: Sequence[int]) -> int:
        """Does what of these steps is ready, and what follows; returns how many steps came to an end."""
        try:
            with self._db.autocommit() as tx:
                context = self._contexts.of(tx, run_id)
                if max(places, default=0) >= len(context.places):
                    context = self._contexts.of(tx, run_id, undoing=True)
        except NotFound:
            return 0
        self._claims.begin(context, places)
        size = 1
        with self._performer.watched():
            while self._claims.left and self._claims.may_go_on():
                chunk = self._claims.chunk(context, size)
                began = time.monotonic()
                self._work_through(context, chunk)
                took_s = time.monotonic() - began
                size = min(MOST, 2 * size) if took_s < BATCH_S else 1
                if self._claims.left and took_s > _SLOW_S * len(chunk):
                    break
        self._following.sender.steps(context, list(self._claims.left), singly=True)
        if self._done:
            tell_of_journal(self._runtime.redis())
        return self._done

    def attend(self, context: RunContext, ready: Sequence[int]) -> None:
        """Of what is ready in a run, sends on its way what others had better do, and does the rest."""
        own = self._claims.own(context, ready)
        kept = set(own)
        self._following.sender.steps(context, [place for place in ready if place not in kept])
        if own:
            self.carry(context.row.id, own)

    def _work_through(self, context: RunContext, places: Sequence[int]) -> None:
        token = new_id()
        claimed = self._claims.claim(context, places, token)
        if not claimed:
            self._trip.broken()
        while claimed:
            claimed, token = self._once(context, claimed, token)

    def _once(self, context: RunContext, claimed: Sequence[Claimed], token: UUID) -> tuple[list[Claimed], UUID]:
        """Does what is claimed; returns what was claimed in going on, and its token."""
        next_token = new_id()
        after = NOTHING
        batch = Batch(
            context.row.id,
            claimed,
            token,
            self._lease_s,
            lambda good: self._writer.complete(context, _done(good), token, next_token),
            lambda: tuple(self._claims.left),
        )
        with self._leases.hold(batch.renew) as lease:
            under = Under(token, next_token, lease)
            flushed_at = time.monotonic()
            one = batch.next()
            while one is not None:
                outcome = self._perform(context, one, claimed, lease)
                joins = isinstance(outcome, Succeeded) and outcome.choice is None
                if isinstance(outcome, Succeeded) and joins:
                    batch.succeeded(one, outcome)
                if shutdown.requested() and batch.more:
                    with self._db.transaction() as tx:
                        batch.give_back(tx)
                last = not batch.more and not self._claims.left
                if batch.good and (not joins or not batch.more or time.monotonic() - flushed_at > BATCH_S):
                    # Only the very last end may claim what to go on with.
                    after = self._end_good(context, batch, under, alone=last and joins)
                    flushed_at = time.monotonic()
                if not joins:
                    after = self._end(context, one, outcome, under, alone=last)
                    batch.ended([one.place])
                one = batch.next()
            if batch.good:
                after = self._end_good(context, batch, under, alone=not self._claims.left)
        if after.next is not None:
            return [Claimed(after.next, 1, context.undoing.get(after.next))], next_token
        return self._claims.another(context, next_token), next_token

    def _perform(self, context: RunContext, one: Claimed, claimed: Sequence[Claimed], lease: Lease) -> Outcome:
        results = self._outputs.of(context, one.place, claimed)
        began = time.monotonic()
        outcome = self._performer.perform(context, one, results, lease)
        if isinstance(outcome, Succeeded):
            self._outputs.learn(context, one.place, outcome.output)
        self._durations.learn(context, one.place, time.monotonic() - began)
        return outcome

    def _end_good(self, context: RunContext, batch: Batch, under: Under, *, alone: bool) -> After:
        """Ends what of a batch is done, and follows up on what was ended while a step took long."""
        good, early = batch.take()
        for ended, after in early:
            self._passed(context, [one.place for one, _ in ended], after)
        if not good:
            return NOTHING
        after = self._complete(context, good, under, alone=alone)
        batch.ended([one.place for one, _ in good])
        return after

    def _complete(self, context: RunContext, good: Sequence[Good], under: Under, *, alone: bool) -> After:
        """Ends steps that succeeded together; where that can't be, each by itself."""
        places = [one.place for one, _ in good]
        candidates = self._claims.candidates(context, places[-1]) if alone else ()
        output = self._run_output(context, places[0]) if len(places) == 1 else None

        def complete() -> After:
            return self._writer.complete(
                context,
                _done(good),
                under.token,
                under.next_token,
                candidates=candidates,
                effects=[effect for _, outcome in good for effect in outcome.effects],
                choice=good[0][1].choice if len(good) == 1 else None,
                output=output,
            )

        try:
            after = self._patiently(complete, under.lease)
        except _PASSING:
            raise
        except Exception as problem:
            if len(good) > 1:
                # One of them was called off, or has an effect that fails.
                for each in good:
                    self._complete(context, [each], under, alone=False)
                return NOTHING
            if isinstance(problem, LeaseLost):
                self._lost(context, places[0])
                return NOTHING
            # An effect that fails, or an output that PostgreSQL does not take, fails the attempt.
            log.warning(
                "step-not-completed", exc_info=True, extra={"run_id": str(context.row.id), "place": places[0]}
            )
            return self._end(context, good[0][0], self._performer.failed(problem), under, alone=alone)
        self._passed(context, places, after)
        return after

    def _run_output(self, context: RunContext, place: int) -> bytes | None:
        """What the run gives, where it ends with this step; None too where that fails: ``finish`` tells why."""
        if not context.ends_with(place):
            return None
        results = self._outputs.all_of(context, context.workings.output_reads, place)
        try:
            return None if results is None else output_of(self._runtime.settings, context, results)
        except ExpressionError:
            return None

    def _end(self, context: RunContext, one: Claimed, outcome: Outcome, under: Under, *, alone: bool) -> After:
        """Ends one step, whatever came of it."""
        if isinstance(outcome, Succeeded):
            return self._complete(context, [(one, outcome)], under, alone=alone)
        try:
            after = self._patiently(lambda: self._writer.end(context, one, under.token, outcome), under.lease)
        except LeaseLost:
            self._lost(context, one.place)
            return NOTHING
        self._trip.broken()
        self._follow(context, after, one.place)
        return after

    def _passed(self, context: RunContext, places: Sequence[int], after: After) -> None:
        self._done += len(places)
        for place in places:
            self._trip.passed(place)
        self._follow(context, after, places[-1])

    def _follow(self, context: RunContext, after: After, place: int) -> None:
        sent = after.ready
        if after.ended is not None:
            sent = after.ready  # of compensations, which this context does not know
        elif context.limited:
            # One of them is gone on with; for the others there may be room.
            sent = sent[1:]
        elif sent:
            sent = self._claims.keep(context, [ready for ready in sent if not self._trip.carries(ready)])
        self._following.follow(context, replace(after, ready=sent, next=None), place)

    def _lost(self, context: RunContext, place: int) -> None:
        self._trip.broken()
        log.info("step-lease-lost", extra={"run_id": str(context.row.id), "step": context.key(place)})

    def _patiently(self, act: Act, lease: Lease) -> After:
        """Waits for a database that is away as long as the lease lasts: what was done is not to be done again."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return act()
            except _PASSING:
                if time.monotonic() - lease.renewed_at > self._lease_s:
                    raise
            time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spread, not secrecy
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)


def _done(good: Sequence[Good]) -> list[Done]:
    return [Done(one.place, outcome.output, outcome.arguments) for one, outcome in good]
