"""What callers may do with hooks: accept them durably, look at them, replay them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from tasks import correlation
from tasks.db import deadline
from tasks.db.pool import Database, Transaction
from tasks.errors import (
    BridgeError,
    Conflict,
    DatabaseBusy,
    DatabaseUnavailable,
    FieldError,
    IdempotencyMismatch,
    NotFound,
    RowsHeld,
    ValidationFailed,
)
from tasks.hooks import store
from tasks.hooks.grouping import GaveUp, Grouped
from tasks.hooks.model import STATES, Accepted, NewHook
from tasks.ids import first_id_at, new_id
from tasks.journal import store as journal
from tasks.paging import Page, checked_limit, decode_id, encode_cursor
from tasks.settings import Settings

log = logging.getLogger(__name__)

Hint = Callable[[list[UUID]], bool]
_GROUP_LIMIT = 128
_PATIENCE_S = 30.0
_CLOCK_SLACK = timedelta(minutes=1)


class HookService:
    """The hook capability behind HTTP and the command line.

    ``hint`` tells workers that rows wait; it is called after the commit, may fail, and never decides anything.
    """

    def __init__(self, db: Database, settings: Settings, hint: Hint) -> None:
        self._db = db
        self._window_s = settings.idempotency_window_s
        self._hint = hint
        self._grouped: Grouped[store.Delivery, Accepted | BridgeError] = Grouped(self._store_group, _GROUP_LIMIT)

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
        return self._store([_delivery(hook) for hook in hooks])

    def _store_group(self, deliveries: Sequence[store.Delivery]) -> list[Accepted | BridgeError]:
        """As ``_store``, for deliveries that have nothing to do with each other: none fails by another's fault."""
        try:
            return self._store(deliveries)
        except RowsHeld as problem:
            if len(deliveries) == 1:
                return [problem]
        except BridgeError as problem:
            return [problem] * len(deliveries)
        except Exception:
            if len(deliveries) == 1:
                raise
            log.exception("hooks-stored-one-by-one", extra={"count": len(deliveries)})
        return [answer for delivery in deliveries for answer in self._store_alone(delivery)]

    def _store_alone(self, delivery: store.Delivery) -> list[Accepted | BridgeError]:
        try:
            return self._store([delivery])
        except BridgeError as problem:
            return [problem]
        except Exception as problem:
            log.exception("hook-not-stored", extra={"hook_id": str(delivery.id)})
            failure = BridgeError("The hook can't be stored.")
            failure.__cause__ = problem
            return [failure]

    def _store(self, deliveries: Sequence[store.Delivery]) -> list[Accepted | BridgeError]:
        if not deliveries:
            return []
        with self._db.autocommit() as tx:
            inserted = store.insert(tx, deliveries)
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
            again = store.insert(tx, [d for d in repeated if known.get(_key(d), {}).get("id") in expired])
            return again, store.known_deliveries(tx, hooks, self._window_s)

    def get(self, hook_id: UUID) -> dict[str, Any]:
        """One hook with its ``attempts`` and its ``journal``. Raises NotFound."""
        with self._db.transaction() as tx:
            row = tx.one(store.QUERIES["get"], {"id": hook_id})
            if row is None:
                raise NotFound(f"There is no hook {hook_id}.")
            history = journal.of_aggregate(tx, store.AGGREGATE, str(hook_id))
        return {**row, "attempts": _attempts(history), "journal": history}

    def list(
        self,
        *,
        source: str | None = None,
        event_type: str | None = None,
        state: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Hooks, newest first. ``since`` is inclusive, ``until`` exclusive. Raises ValidationFailed."""
        if state is not None and state not in STATES:
            allowed = ", ".join(STATES)
            raise ValidationFailed("Unknown state.", errors=[FieldError("/state", f"must be one of {allowed}")])
        parameters = {
            "source": source,
            "event_type": event_type,
            "state": state,
            "since": since,
            "since_id": first_id_at(since - _CLOCK_SLACK) if since else None,
            "until": until,
            "until_id": first_id_at(until + _CLOCK_SLACK) if until else None,
            "before_id": None if cursor is None else decode_id(cursor),
            "limit": checked_limit(limit) + 1,
        }
        with self._db.transaction() as tx:
            rows = tx.all(store.QUERIES["list"], parameters)
        more = len(rows) > limit
        return Page(rows[:limit], encode_cursor(str(rows[limit - 1]["id"])) if more else None)

    def replay(self, hook_id: UUID) -> dict[str, Any]:
        """Sends a handled or dead hook through its handlers again, attempts counted anew.

        Raises:
            NotFound: there is no such hook.
            Conflict: it is not at an end yet.
        """
        with self._db.transaction() as tx:
            row = store.replay(tx, hook_id)
            if row is None:
                raise _not_now(tx, hook_id, "only a handled or dead hook can be replayed")
        self._hint([hook_id])
        return {"id": hook_id, "state": "received", "previous_state": row["old_state"]}

    def drop(self, hook_id: UUID) -> None:
        """Removes a dead hook from the inbox for good. Its journal stays, and says so.

        Raises:
            NotFound: there is no such hook.
            Conflict: it is not dead.
        """
        with self._db.transaction() as tx:
            if not store.drop(tx, hook_id):
                raise _not_now(tx, hook_id, "only a dead hook can be dropped")

    def stats(self) -> dict[str, Any]:
        """How many hooks are in each unfinished state, how many are dead, and the age of the oldest waiting (s)."""
        with self._db.transaction() as tx:
            rows = tx.all(store.QUERIES["unfinished"])
            dead = tx.one(store.QUERIES["count_dead"]) or {"count": 0}
        counts = {"received": 0, "processing": 0, "retrying": 0, "dead": dead["count"]}
        counts.update({row["state"]: row["count"] for row in rows})
        oldest = max((row["oldest_s"] for row in rows if row["state"] == "received"), default=0.0)
        return {"states": counts, "oldest_received_s": max(0.0, oldest)}


def _not_now(tx: Transaction, hook_id: UUID, rule: str) -> BridgeError:
    present = tx.one(store.QUERIES["get"], {"id": hook_id})
    if present is None:
        return NotFound(f"There is no hook {hook_id}.")
    return Conflict(f"The hook is {present['state']}; {rule}.")


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


def _attempts(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    attempts: list[dict[str, Any]] = []
    for row in history:
        payload = row["payload"]
        state = payload.get("state")
        if state == "processing":
            attempts.append(
                {
                    "attempt": payload["attempt"],
                    "started_at": row["recorded_at"],
                    "finished_at": None,
                    "outcome": None,
                    "error_code": None,
                    "error": None,
                }
            )
        elif state in ("handled", "retrying", "dead") and attempts:
            attempts[-1].update(
                finished_at=row["recorded_at"],
                outcome=state,
                error_code=payload.get("error_code"),
                error=payload.get("error"),
            )
    for earlier, later in pairwise(attempts):
        if earlier["outcome"] is None:
            earlier.update(finished_at=later["started_at"], outcome="lease_expired")
    return attempts
