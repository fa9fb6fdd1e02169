"""Works through items of a map: claimed some at a time, ended together, the last of all ends the map."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import UUID

from tasks.errors import NotFound
from tasks.ids import new_id
from tasks.queue import shutdown
from tasks.runtime import Runtime
from tasks.workflows.attempt import retries
from tasks.workflows.definition.deciding import map_action
from tasks.workflows.definition.model import RetryPolicy
from tasks.workflows.store import items
from tasks.workflows.store.items import ClaimedItem, ItemEnd, Ranges
from tasks.workflows.work.contexts import Contexts, RunContext
from tasks.workflows.work.endings import retry_delay_s, retry_policy
from tasks.workflows.work.following import Following
from tasks.workflows.work.leases import Leases
from tasks.workflows.work.outcomes import Failed, Lost, Outcome, Released, Succeeded
from tasks.workflows.work.performing import Performer
from tasks.workflows.work.reading import Outputs

_SLICE_S = 10.0
_SHORT_S = 0.02
_MOST = 64


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
                self._do(context, place, claimed, token, policy)
                made += len(claimed)
                is_short = time.monotonic() - began < _SHORT_S * size and not context.is_slow(place)
                size = min(_MOST, 2 * size) if is_short else 1
        self._following.send_items(context, place)
        return made

    def _do(
        self, context: RunContext, place: int, claimed: Sequence[ClaimedItem], token: UUID, policy: RetryPolicy
    ) -> None:
        run_id = context.row.id
        held = {one.index for one in claimed}
        results = self._outputs.of(context, place)
        ends: list[ItemEnd] = []
        flushed_at = time.monotonic()
        with self._leases.hold(
            lambda tx: items.renew(tx, run_id, place, sorted(held), token, self._lease_s)
        ) as lease:
            for one in claimed:
                outcome = self._performer.perform_item(
                    context, place, one.index, one.item, one.attempt, results, lease
                )
                if isinstance(outcome, Lost):
                    continue
                ends.append(_end(one, outcome, policy))
                effects = outcome.effects if isinstance(outcome, Succeeded) else ()
                if effects or one is claimed[-1] or time.monotonic() - flushed_at > _SHORT_S:
                    self._write(context, place, ends, token, outcome)
                    held.difference_update(end.index for end in ends)
                    ends = []
                    flushed_at = time.monotonic()

    def _write(self, context: RunContext, place: int, ends: Sequence[ItemEnd], token: UUID, last: Outcome) -> None:
        with self._db.transaction() as tx:
            for effect in last.effects if isinstance(last, Succeeded) else ():
                effect(tx)
            open_items = items.end(tx, context.row.id, place, ends, token)
        if open_items == 0:
            self._following.close(context, place)


def _end(one: ClaimedItem, outcome: Outcome, policy: RetryPolicy) -> ItemEnd:
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
