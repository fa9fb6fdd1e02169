"""What one message's work takes on: which steps, and how many together, within rates, limits and a slice of time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from uuid import UUID

from tasks.queue import shutdown
from tasks.runtime import Runtime
from tasks.workflows.rates import rates_of
from tasks.workflows.store import runs, steps
from tasks.workflows.store.steps import Claimed
from tasks.workflows.work.after import After
from tasks.workflows.work.canvas import QUEUE, Trip
from tasks.workflows.work.contexts import RunContext
from tasks.workflows.work.durations import Durations
from tasks.workflows.work.following import Following

SLICE_S = 10.0
# How long steps may take that are claimed, or ended, together.
BATCH_S = 0.02
MOST = 64


class Claims:
    """The steps that are still ``left`` to one message's work, and those of them that it claims. The slice of time
    begins when this is made."""

    def __init__(self, runtime: Runtime, following: Following, trip: Trip) -> None:
        self._db = runtime.db
        self._lease_s = runtime.settings.workflow_lease_s
        self._rates = rates_of(runtime)
        self._durations = runtime.kept(Durations)
        self._following = following
        self._trip = trip
        self._until = time.monotonic() + SLICE_S
        self._queue = ""
        self.left: deque[int] = deque()

    def begin(self, context: RunContext, places: Sequence[int]) -> None:
        """Takes up the steps of a message, which came by the queue of the first."""
        self.left.extend(places)
        self._queue = context.queue(places[0]) if places else ""

    def own(self, context: RunContext, ready: Sequence[int]) -> list[int]:
        """Of what is ready in a run: the one that would travel alone, or what is known to be done in less time than
        it would take to be sent."""
        here = [place for place in ready if context.queue(place) == QUEUE]
        if len(ready) == 1 or context.limited:
            return here[:1]
        own: list[int] = []
        left_s = BATCH_S
        for place in here[:MOST]:
            short_s = self._durations.short_s(context, place)
            if short_s is not None and short_s < left_s and not self._rates.is_limited(context.kind(place)):
                own.append(place)
                left_s -= short_s
        return own

    def may_go_on(self) -> bool:
        """Whether there is time for more."""
        return time.monotonic() < self._until and not shutdown.requested()

    def chunk(self, context: RunContext, size: int) -> list[int]:
        """What to claim next: many steps known to be short, or ``size`` of those of which nothing is known."""
        chunk: list[int] = []
        left_s = BATCH_S
        while self.left and len(chunk) < MOST:
            short_s = self._durations.short_s(context, self.left[0])
            if short_s is None and len(chunk) >= size:
                break
            left_s -= short_s or 0.0
            if chunk and left_s < 0:
                break
            chunk.append(self.left.popleft())
        return chunk

    def claim(self, context: RunContext, places: Sequence[int], token: UUID) -> list[Claimed]:
        """ready → running, of these what is ready and allowed now."""
        run_id = context.row.id
        allowed = self._allowed(context, places)
        if not allowed:
            return []
        if not context.limited:
            with self._db.autocommit() as tx:
                return steps.claim(tx, run_id, allowed, token, self._lease_s)
        with self._db.transaction() as tx:
            runs.look(tx, run_id, lock=True)
            return steps.claim(tx, run_id, allowed, token, self._lease_s, limited=True)

    def another(self, context: RunContext, token: UUID) -> list[Claimed]:
        """Of a run that allows only so many steps at once: the next one that waits, since a place has become free.
        One that is of another queue, or for which there is no time here, is sent on its way."""
        if not context.limited:
            return []
        with self._db.transaction() as tx:
            waiting = steps.ready(tx, context.row.id, 8)[:1]
        if waiting and not (self.may_go_on() and context.queue(waiting[0]) == self._queue):
            self._following.sender.steps(context, waiting)
            return []
        return self.claim(context, waiting, token)

    def candidates(self, context: RunContext, place: int) -> Sequence[int]:
        """The children that may be gone on with at once."""
        if context.limited or not self.may_go_on():
            return ()
        queue = context.queue(place)
        return [
            child
            for child in context.children[place]
            if context.queue(child) == queue
            and not self._trip.joins(child)
            and not self._rates.is_limited(context.kind(child))
        ]

    def keep(self, context: RunContext, ready: Sequence[int]) -> tuple[int, ...]:
        """Keeps what is known to be short, as much as is done sooner than it would be sent; returns the others."""
        sent: list[int] = []
        for place in ready:
            kept = (
                self._durations.short_s(context, place) is not None
                and context.queue(place) == self._queue
                and not self._rates.is_limited(context.kind(place))
                and len(self.left) < MOST
                and self.may_go_on()
            )
            (self.left if kept else sent).append(place)
        return tuple(sent)

    def _allowed(self, context: RunContext, places: Sequence[int]) -> list[int]:
        """Those whose kind's rate allows another attempt now; the clock looks at the others when it does."""
        allowed = []
        for place in places:
            kind = context.kind(place)
            wait_s = self._rates.acquire(kind) if self._rates.is_limited(kind) else 0.0
            if wait_s <= 0.0:
                allowed.append(place)
                continue
            with self._db.autocommit() as tx:
                steps.postpone(tx, [(context.row.id, place)], wait_s)
            self._following.follow(context, After(timer_s=wait_s))
        return allowed
