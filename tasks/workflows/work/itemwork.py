"""Works through items of a map: claimed some at a time, ended together, the last of all ends the map.

Those that were claimed with one that takes long are given back to others, as steps are (``batches.py``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from uuid import UUID

from tasks.db.pool import Transaction
from tasks.errors import DatabaseBusy, DatabaseUnavailable, NotFound
from tasks.ids import new_id
from tasks.queue import shutdown
from tasks.runtime import Runtime
from tasks.workflows.attempt import retries
from tasks.workflows.definition.deciding import map_action
from tasks.workflows.definition.model import RetryPolicy
from tasks.workflows.store import items
from tasks.workflows.store.items import ClaimedItem, ItemEnd, Ranges
from tasks.workflows.store.steps import LeaseLost
from tasks.workflows.work.contexts import Contexts, RunContext
from tasks.workflows.work.endings import retry_delay_s, retry_policy
from tasks.workflows.work.following import Following
from tasks.workflows.work.holding import Holding
from tasks.workflows.work.leases import Leases
from tasks.workflows.work.outcomes import Failed, Lost, Outcome, Released, Succeeded
from tasks.workflows.work.performing import Performer
from tasks.workflows.work.reading import Outputs

log = logging.getLogger(__name__)

_SLICE_S = 10.0
_SHORT_S = 0.02
_MOST = 64

Done = tuple[ClaimedItem, Outcome]


class ItemWork:
    """Does the items of one message."""

    def __init__(self, runtime: Runtime, following: Following) -> None:
        self._db = runtime.db
        self._lease_s = runtime.settings.workflow_lease_s
        self._contexts = runtime.kept(Contexts)
        self._leases = runtime.kept(Leases)
        self._performer = runtime.kept(Performer)
        self._outputs = Outputs(runtime.db)
        self._following = following

    def work(self, run_id: UUID, place: int, ranges: Ranges) -> int:
        """Does what of these items waits; returns how many attempts that were. What a slice of time does not allow
        is sent on."""
        try:
            with self._db.transaction() as tx:
                context = self._contexts.of(tx, run_id)
        except NotFound:
            return 0
        until = time.monotonic() + _SLICE_S
        policy = retry_policy(map_action(context.action(place).arguments))
        made, size = 0, 1
        with self._performer.watched():
            while not shutdown.requested() and time.monotonic() < until:
                token = new_id()
                with self._db.autocommit() as tx:
                    claimed = items.claim(tx, run_id, place, ranges, token, self._lease_s, size)
                if not claimed:
                    return made
                began = time.monotonic()
                made += self._do(context, place, claimed, token, policy)
                is_short = time.monotonic() - began < _SHORT_S * size and not context.is_slow(place)
                size = min(_MOST, 2 * size) if is_short else 1
        self._following.send_items(context, place)
        return made

    def _do(
        self, context: RunContext, place: int, claimed: Sequence[ClaimedItem], token: UUID, policy: RetryPolicy
    ) -> int:
        """Returns how many attempts that were."""
        run_id, arguments = context.row.id, context.action(place).arguments
        batch = _Batch(run_id, place, claimed, token, self._lease_s, may_give="max_parallel" not in arguments)
        results = self._outputs.of(context, place)
        done: list[Done] = []
        flushed_at = time.monotonic()
        begun = 0
        with self._leases.hold(batch.renew) as lease:
            while (one := batch.next()) is not None:
                begun += 1
                outcome = self._performer.perform_item(
                    context, place, one.index, one.item, one.attempt, results, lease
                )
                if isinstance(outcome, Lost):
                    continue
                done.append((one, outcome))
                has_effects = isinstance(outcome, Succeeded) and bool(outcome.effects)
                if has_effects or time.monotonic() - flushed_at > _SHORT_S:
                    self._flush(context, place, batch, done, policy)
                    flushed_at = time.monotonic()
            self._flush(context, place, batch, done, policy)
        return begun

    def _flush(self, context: RunContext, place: int, batch: _Batch, done: list[Done], policy: RetryPolicy) -> None:
        """Ends what is done, and empties ``done``."""
        if done:
            self._write(context, place, done, batch.token, policy)
            batch.ended([one.index for one, _ in done])
            done.clear()

    def _write(self, context: RunContext, place: int, done: Sequence[Done], token: UUID, policy: RetryPolicy) -> None:
        """Ends these items together, with their effects; where that can't be, each by itself."""
        try:
            is_last = self._end(context, place, done, token, policy)
        except (DatabaseUnavailable, DatabaseBusy):
            raise
        except LeaseLost:
            if len(done) > 1:
                self._write_singly(context, place, done, token, policy)
            else:
                log.info(
                    "item-lease-lost",
                    extra={"run_id": str(context.row.id), "step": context.key(place), "item": done[0][0].index},
                )
        except Exception as problem:
            if len(done) > 1:
                self._write_singly(context, place, done, token, policy)
                return
            [(one, outcome)] = done
            if not isinstance(outcome, Succeeded):
                raise
            # An effect that fails, or an output that PostgreSQL does not take, fails the attempt.
            log.warning("item-not-completed", exc_info=True, extra={"run_id": str(context.row.id), "item": one.index})
            self._write(context, place, [(one, self._performer.failed(problem))], token, policy)
        else:
            if is_last:
                self._following.close(context, place)

    def _write_singly(
        self, context: RunContext, place: int, done: Sequence[Done], token: UUID, policy: RetryPolicy
    ) -> None:
        for each in done:
            self._write(context, place, [each], token, policy)

    def _end(self, context: RunContext, place: int, done: Sequence[Done], token: UUID, policy: RetryPolicy) -> bool:
        """Whether they were the last of the map. Raises LeaseLost where one that has effects is held no more, or the
        map was called off."""
        ends = [_item_end(one, outcome, policy) for one, outcome in done]
        effects = [each for _, outcome in done if isinstance(outcome, Succeeded) for each in outcome.effects]
        with self._db.transaction() as tx:
            for effect in effects:
                effect(tx)
            ended = items.end(tx, context.row.id, place, ends, token)
            over = any(end.state in ("succeeded", "failed") for end in ends)
            if (effects and ended.count < len(ends)) or (over and ended.open is None):
                raise LeaseLost
        return ended.open == 0


class _Batch:
    """Items that were claimed together, under one token. ``may_give``: others may take what waits in it; of a map
    that allows only so many at once, that would be one more."""

    def __init__(
        self,
        run_id: UUID,
        place: int,
        claimed: Sequence[ClaimedItem],
        token: UUID,
        lease_s: float,
        *,
        may_give: bool,
    ) -> None:
        self.token = token
        self._run_id = run_id
        self._place = place
        self._lease_s = lease_s
        self._may_give = may_give
        self._claimed = Holding([(one.index, one) for one in claimed])

    def next(self) -> ClaimedItem | None:
        """The item to begin with now; None: there is no other."""
        return self._claimed.next()

    def ended(self, indexes: Sequence[int]) -> None:
        """These are held no more."""
        self._claimed.drop(indexes)

    def renew(self, tx: Transaction) -> int:
        """Renews the lease of what is held, and gives back what waits behind an item that takes long: the clock sends
        it to others."""
        given = self._claimed.take_back() if self._may_give and self._claimed.late else []
        if given:
            items.end(tx, self._run_id, self._place, [ItemEnd(index, "ready") for index in given], self.token)
        return items.renew(tx, self._run_id, self._place, self._claimed.held, self.token, self._lease_s)


def _item_end(one: ClaimedItem, outcome: Outcome, policy: RetryPolicy) -> ItemEnd:
    match outcome:
        case Succeeded(output):
            return ItemEnd(one.index, "succeeded", output)
        case Released(delay_s):
            return ItemEnd(one.index, "ready", delay_s=delay_s)
        case Failed(error):
            again = retries(policy, error, one.attempt)
            wait_s = max(retry_delay_s(policy, one.attempt), error.retry_after_s or 0.0)
            return ItemEnd(
                one.index,
                "retrying" if again else "failed",
                error_code=error.error_type,
                error=str(error),
                delay_s=wait_s if again else None,
            )
        case _:
            return ItemEnd(one.index, "failed", error_code="UnknownKind", error="An item can't wait or be skipped.")
