"""What follows when an end is committed: messages for what became ready, the end of the run, whom that concerns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from tasks.db.pool import Transaction
from tasks.errors import BridgeError, NotFound
from tasks.runtime import Runtime
from tasks.workflows.store import items, run_with_steps, runs, steps
from tasks.workflows.store.runs import Changed
from tasks.workflows.store.steps import LeaseLost
from tasks.workflows.work import finishing, waiting
from tasks.workflows.work.after import After
from tasks.workflows.work.canvas import Sender
from tasks.workflows.work.contexts import Contexts, RunContext

log = logging.getLogger(__name__)

CLOCK = "workflows.clock"
_SOON_S = 1.5
_READY = 20_000
_ITEMS = 20_000
T = TypeVar("T")


class Following:
    """Follows up on ends, in a worker. Each thing that follows is a transaction of its own; where one does not come
    about, the clock makes it good."""

    def __init__(self, runtime: Runtime, sender: Sender, nudge: Callable[[], None]) -> None:
        self._db = runtime.db
        self._settings = runtime.settings
        self._contexts = runtime.kept(Contexts)
        self.sender = sender
        self._nudge = nudge

    def follow(self, context: RunContext, after: After, place: int | None = None) -> None:
        """Does what is left to do after an end at ``place``. ``next`` is the caller's."""
        run_id = context.row.id
        if after.ended is not None:
            self._ended(after.ended)
            if after.ended.state != "compensating":
                return
            with self._db.transaction() as tx:
                self._contexts.forget(run_id)
                context = self._contexts.of(tx, run_id, undoing=True)
        self.sender.steps(context, after.ready)
        if after.items and place is not None:
            self.send_items(context, place)
        if after.child is not None:
            # A child has its parent's priority.
            self.sender.run(after.child, context.row.priority)
        if after.timer_s is not None and after.timer_s < _SOON_S:
            self._nudge()
        if after.finish:
            self.finish(run_id)

    def finish(self, run_id: UUID) -> None:
        """Ends a run none of whose leaves is open."""
        ended = self._try(run_id, lambda tx: finishing.finish(tx, self._settings, self._contexts, run_id))
        if ended is not None:
            self._ended(ended)

    def take_up(self, run_id: UUID) -> tuple[RunContext, Sequence[int]] | None:
        """As ``attend`` and ``ready``, by one statement where the run goes on."""
        with self._db.autocommit() as tx:
            found = run_with_steps.under_way(tx, run_id, _READY)
            if found is not None:
                row, ready = found
                return self._contexts.begun(tx, row), ready
        context = self.attend(run_id)
        return None if context is None else (context, self.ready(context))

    def attend(self, run_id: UUID) -> RunContext | None:
        """Looks at a run as a whole and does whatever is due: begins it, sends what is ready, ends it, tells whom its
        end concerns. Doing it twice does no harm. None where there is no such run."""
        with self._db.autocommit() as tx:
            try:
                look = runs.look(tx, run_id)
            except NotFound:
                return None
        if look.state == "pending" and look.concurrency_key is not None:
            self._begin_next(run_id, look.name, look.concurrency_key)
        elif look.state == "pending":
            self._try(run_id, lambda tx: finishing.begin(tx, self._contexts, run_id))
        elif look.state in ("running", "compensating") and look.open_leaves == 0:
            self.finish(run_id)
        elif look.state in finishing.OVER:
            self._tell(look.parent_run_id, look.parent_place)
            self._after_end(run_id, look.name, look.concurrency_key, look.state)
            return None
        with self._db.autocommit() as tx:
            return self._contexts.of(tx, run_id, undoing=look.state == "compensating")

    def ready(self, context: RunContext) -> list[int]:
        """What waits for a worker in a run that goes on."""
        with self._db.autocommit() as tx:
            return steps.ready(tx, context.row.id, _READY)

    def send_items(self, context: RunContext, place: int) -> None:
        """Sends what is open of a map."""
        with self._db.transaction() as tx:
            indexes = items.open_indexes(tx, context.row.id, place, _ITEMS)
        if indexes:
            self.sender.items(context, place, indexes)

    def close(self, context: RunContext, place: int) -> bool:
        """Ends a map all of whose items have ended, and sends what no message carries of one that has open ones."""
        after = self._try(context.row.id, lambda tx: waiting.items_ended(tx, self._settings, context, place))
        if after is None:
            return False
        self.follow(context, after)
        return True

    def look_at_child(self, context: RunContext, place: int, attempt: int, child_id: UUID) -> bool:
        """Wakes a step whose child has ended; False where it goes on."""
        after = self._try(context.row.id, lambda tx: waiting.child_ended(tx, context, place, attempt, child_id))
        if after is None:
            return False
        self.follow(context, after)
        return True

    def time_is_up(self, context: RunContext, place: int, waits_for: str) -> bool:
        """Ends the wait of a step; False where that can't be now."""
        after = self._try(context.row.id, lambda tx: waiting.time_is_up(tx, context, place, waits_for))
        if after is None:
            return False
        self.follow(context, after)
        return True

    def call_off(self, run_id: UUID, state: str, reason: str) -> None:
        """Ends a run before its steps have ended: ``cancelled`` or ``timed_out``."""
        ended = self._try(run_id, lambda tx: finishing.call_off(tx, run_id, state, reason=reason))
        if ended is not None:
            self._ended(ended)

    def _ended(self, changed: Changed) -> None:
        self._contexts.forget(changed.id)
        # It has ended, whatever is wrong with its parent, or with the next run of its key.
        with _theirs(changed.id):
            self._tell(changed.parent_run_id, changed.parent_place)
        with _theirs(changed.id):
            self._after_end(changed.id, changed.name, changed.concurrency_key, changed.state)

    def _tell(self, parent_run_id: UUID | None, parent_place: int | None) -> None:
        """Wakes the step that waits for the run, if one does."""
        if parent_run_id is None or parent_place is None:
            return
        with self._db.transaction() as tx:
            row = tx.one(steps.QUERIES["waiting_child"], {"run_id": parent_run_id, "place": parent_place})
            if row is None:
                return
            context = self._contexts.of(tx, parent_run_id)
        self.look_at_child(context, parent_place, row["attempt"], row["child_run_id"])

    def _after_end(self, run_id: UUID, name: str, concurrency_key: str | None, state: str) -> None:
        if concurrency_key is not None and state in finishing.OVER:
            self._begin_next(run_id, name, concurrency_key)
        if state in finishing.BAD or state == "compensating":
            with self._db.transaction() as tx:
                children = [row["id"] for row in tx.all(runs.QUERIES["children"], {"id": run_id})]
            for child in children:
                self.call_off(child, "cancelled", f"its parent {run_id} is {state}")

    def _begin_next(self, run_id: UUID, name: str, concurrency_key: str) -> None:
        """Begins who is next of a key, where there is room. Where that is another run than the one that is looked at,
        a message tells of it."""
        begun = self._try(run_id, lambda tx: finishing.begin_next(tx, self._contexts, name, concurrency_key))
        if begun is not None and begun.id != run_id:
            self.sender.run(begun.id, begun.priority)

    def _try(self, run_id: UUID, act: Callable[[Transaction], T]) -> T | None:
        """The result of a transaction; None where the rows are elsewhere by now, or it can't be done now."""
        try:
            with self._db.transaction() as tx:
                return act(tx)
        except LeaseLost:
            return None
        except BridgeError as problem:
            log.warning("workflow-not-followed", extra={"run_id": str(run_id), "error": problem.detail})
            return None


@contextmanager
def _theirs(run_id: UUID) -> Iterator[None]:
    """Around what concerns other runs than this one: a failure that is theirs is only logged."""
    try:
        yield
    except BridgeError:
        raise
    except Exception:
        log.exception("workflow-not-followed", extra={"run_id": str(run_id)})
