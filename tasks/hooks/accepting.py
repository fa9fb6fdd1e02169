"""Accepts hooks: rows committed before the answer, one commit for those that come together."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from tasks import correlation
from tasks.db import deadline
from tasks.db.pool import Database
from tasks.errors import (
    BridgeError,
    Conflict,
    DatabaseBusy,
    DatabaseUnavailable,
    IdempotencyMismatch,
    RowsHeld,
)
from tasks.hooks import store
from tasks.hooks.grouping import GaveUp, Grouped
from tasks.hooks.model import Accepted, NewHook
from tasks.ids import new_id

log = logging.getLogger(__name__)

Hint = Callable[[list[UUID]], bool]
_GROUP_LIMIT = 128
# A round costs the web process and PostgreSQL half a millisecond of processor time, whatever is in it. At half load
# three requests shared one; with this six do. Under full load rounds take as long anyway.
_APART_S = 0.004
_PATIENCE_S = 30.0
# Of a batch, a delivery id that another transaction holds is waited for so long; of its parts, so long and so often.
_WAIT_MS = 250
_PART_WAIT_MS = 20
_PARTS_HELD = 24


class Acceptor:
    """Makes hooks durable. ``hint`` tells workers that rows wait, after the commit; it may fail."""

    def __init__(self, db: Database, window_s: int, hint: Hint) -> None:
        self._db = db
        self._window_s = window_s
        self._hint = hint
        self._grouped: Grouped[store.Delivery, Accepted | BridgeError] = Grouped(
            self._store_group, _GROUP_LIMIT, _APART_S
        )

    def accept(self, hook: NewHook) -> Accepted:
        """Makes a hook durable: when this returns, its row is committed.

        A delivery id that is known gives the first answer again. Threads that call at the same time share a commit.

        Raises:
            IdempotencyMismatch: the delivery id is known, with another body.
            DatabaseUnavailable, DatabaseBusy: it is not known to be stored; the caller should try again.
        """
        left_s = deadline.remaining_s()
        try:
            answer = self._grouped(_delivery(hook), _PATIENCE_S if left_s is None else left_s)
        except GaveUp as problem:
            raise DatabaseUnavailable("PostgreSQL did not store the hook in time.") from problem
        if isinstance(answer, BridgeError):
            raise answer
        return answer

    def accept_many(self, hooks: Sequence[NewHook]) -> list[Accepted | BridgeError]:
        """Makes many hooks durable in one commit; each has its own answer, in order. Raises as ``accept``
        only where nothing at all was stored."""
        return self._store_each([_delivery(hook) for hook in hooks])

    def _store_group(self, deliveries: Sequence[store.Delivery]) -> list[Accepted | BridgeError]:
        """As ``_store_each``, whose failure is an answer to each of the group."""
        try:
            return self._store_each(deliveries)
        except BridgeError as problem:
            return [problem] * len(deliveries)

    def _store_each(self, deliveries: Sequence[store.Delivery]) -> list[Accepted | BridgeError]:
        """Stores all in one commit or, where one is held or faulty, in halves, and halves of those that fail: none
        fails by another's fault.

        Large parts come first. Once ``_PARTS_HELD`` were held, what is left is answered as held.

        Raises:
            DatabaseUnavailable, DatabaseBusy: nothing is known to be stored.
        """
        answers: dict[UUID, Accepted | BridgeError] = {}
        parts = deque([deliveries])
        held = 0
        while parts:
            part = parts.popleft()
            failure: BridgeError
            try:
                stored = self._store(part, _PART_WAIT_MS if held else _WAIT_MS)
            except RowsHeld as problem:
                failure, held = problem, held + 1
            except BridgeError as problem:
                if part is deliveries:
                    raise
                answers.update((delivery.id, problem) for delivery in part)
                continue
            except Exception as problem:
                log.exception("hooks-not-stored", extra={"hook_ids": [str(delivery.id) for delivery in part[:10]]})
                failure = BridgeError("The hook can't be stored.")
                failure.__cause__ = problem
            else:
                answers.update(zip((delivery.id for delivery in part), stored, strict=True))
                continue
            if len(part) == 1 or held > _PARTS_HELD:
                answers.update((delivery.id, failure) for delivery in part)
            else:
                parts += [part[: len(part) // 2], part[len(part) // 2 :]]
        return [answers[delivery.id] for delivery in deliveries]

    def _store(self, deliveries: Sequence[store.Delivery], wait_ms: int) -> list[Accepted | BridgeError]:
        if not deliveries:
            return []
        with self._db.autocommit() as tx:
            inserted = store.insert(tx, deliveries, wait_ms)
        if inserted:
            self._hint([delivery.id for delivery in deliveries if delivery.id in inserted])
        if len(inserted) == len(deliveries):
            return [_accepted(delivery) for delivery in deliveries]
        return self._with_repeats(deliveries, inserted)

    def _with_repeats(
        self, deliveries: Sequence[store.Delivery], inserted: set[UUID]
    ) -> list[Accepted | BridgeError]:
        repeated = [delivery for delivery in deliveries if delivery.id not in inserted]
        try:
            again, known = self._look_up(repeated)
        except (DatabaseUnavailable, DatabaseBusy) as problem:
            # The others are committed; of these nobody knows.
            return [_accepted(d) if d.id in inserted else problem for d in deliveries]
        if again:
            self._hint(sorted(again))
        return [
            _accepted(d) if d.id in inserted or d.id in again else _answer_again(d, known.get(_key(d)))
            for d in deliveries
        ]

    def _look_up(self, repeated: Sequence[store.Delivery]) -> tuple[set[UUID], store.KnownDeliveries]:
        """What is known of repeated deliveries; those whose idempotency window is over are stored anew."""
        hooks = [delivery.hook for delivery in repeated]
        with self._db.transaction() as tx:
            known = store.known_deliveries(tx, hooks, self._window_s)
            expired = {row["id"] for row in known.values() if row["expired"]}
            if not expired:
                return set(), known
            store.release_delivery_ids(tx, sorted(expired))
            again = store.insert(tx, [d for d in repeated if known.get(_key(d), {}).get("id") in expired], _WAIT_MS)
            return again, store.known_deliveries(tx, hooks, self._window_s)


def _key(delivery: store.Delivery) -> tuple[str, str]:
    return delivery.hook.source, delivery.hook.delivery_id or ""


def _delivery(hook: NewHook) -> store.Delivery:
    """The row to be of ``hook``, with a fresh id and the correlation id of the hook, or of the work at hand."""
    return store.Delivery(new_id(), hook, hook.correlation_id or correlation.current() or str(new_id()))


def _accepted(delivery: store.Delivery) -> Accepted:
    return Accepted(delivery.id, duplicate=False, correlation_id=delivery.correlation_id)


def _answer_again(delivery: store.Delivery, known: dict[str, Any] | None) -> Accepted | BridgeError:
    if known is None:
        return Conflict("A request with the same idempotency key is in flight; try again.")
    if bytes(known["body_digest"]) != delivery.hook.digest():
        return IdempotencyMismatch(
            f"The key {delivery.hook.delivery_id!r} was used before for another body, of hook {known['id']}."
        )
    return Accepted(known["id"], duplicate=True, correlation_id=known["correlation_id"])
