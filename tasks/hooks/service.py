"""What callers may do with hooks: accept them durably, look at them, replay them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from tasks.db.pool import Database, Transaction
from tasks.errors import (
    BridgeError,
    Conflict,
    FieldError,
    NotFound,
    ValidationFailed,
)
from tasks.hooks import store
from tasks.hooks.accepting import Acceptor, Hint
from tasks.hooks.model import STATES, Accepted, NewHook
from tasks.ids import first_id_at
from tasks.journal import store as journal
from tasks.paging import Page, checked_limit, decode_id, encode_cursor
from tasks.settings import Settings

_CLOCK_SLACK = timedelta(minutes=1)


class HookService:
    """The hook capability behind HTTP and the command line.

    ``hint`` tells workers that rows wait; it is called after the commit, may fail, and never decides anything.
    """

    def __init__(self, db: Database, settings: Settings, hint: Hint) -> None:
        self._db = db
        self._hint = hint
        self._acceptor = Acceptor(db, settings.idempotency_window_s, hint)

    def accept(self, hook: NewHook) -> Accepted:
        """Makes a hook durable: as ``Acceptor.accept``, whose errors it raises."""
        return self._acceptor.accept(hook)

    def accept_many(self, hooks: Sequence[NewHook]) -> list[Accepted | BridgeError]:
        """Makes many hooks durable: as ``Acceptor.accept_many``, whose errors it raises."""
        return self._acceptor.accept_many(hooks)

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
            raise ValidationFailed("Unknown state.", errors=[FieldError.not_one_of("/state", STATES)])
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
