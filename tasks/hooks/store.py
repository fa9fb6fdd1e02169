"""The inbox table: the only place that changes a hook's state, each change with its journal row.

Every function works in the caller's transaction, so a state and what the journal says of it stand or fall together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.hooks import mapping
from tasks.hooks.model import Hook, NewHook
from tasks.ids import new_id
from tasks.journal.model import JournalEvent, may_hold_secrets, redact, redacted_text
from tasks.journal.store import append

QUERIES = Queries("tasks.hooks", "hooks.sql")
AGGREGATE = "hook"
STATE_CHANGED = "hook-state-changed"
ERROR_LIMIT = 2000

# By source and delivery id.
KnownDeliveries = dict[tuple[str, str], dict[str, Any]]


class LeaseLost(Exception):
    """Another worker has the row by now: what was done under the old lease must be undone."""


@dataclass(frozen=True)
class Delivery:
    """A row to be: the hook, the id it gets, and the correlation id it goes by."""

    id: UUID
    hook: NewHook
    correlation_id: str


def insert(tx: Transaction, deliveries: Sequence[Delivery], wait_ms: int) -> set[UUID]:
    """Stores the deliveries that are not known yet, as ``received``, each with its first journal row; returns the ids
    of those. One statement: it may be a transaction of its own.

    Rows go in by sorted delivery id, so that concurrent batches with common ids cannot deadlock. A delivery id that
    another transaction holds is waited for, ``wait_ms``.

    Raises:
        RowsHeld: one was held for longer; none is stored.
    """
    ordered = sorted(deliveries, key=lambda d: (d.hook.source, d.hook.delivery_id or "", d.id))
    text = orjson.dumps([_row(delivery) for delivery in ordered]).decode()
    return {row["id"] for row in tx.all(QUERIES.prepared("accept"), {"rows": text, "wait": f"{wait_ms}ms"})}


def known_deliveries(tx: Transaction, hooks: Sequence[NewHook], window_s: int) -> KnownDeliveries:
    """The stored rows of these (source, delivery id) pairs, with ``expired`` where the window is over."""
    rows = tx.all(
        QUERIES["known_deliveries"],
        {
            "sources": [hook.source for hook in hooks],
            "delivery_ids": [hook.delivery_id for hook in hooks],
            "window_s": window_s,
        },
    )
    return {(row["source"], row["delivery_id"]): row for row in rows}


def release_delivery_ids(tx: Transaction, ids: Sequence[UUID]) -> None:
    """Frees the delivery ids of these rows: the same id is a new delivery from now on."""
    tx.execute(QUERIES["release_delivery_ids"], {"ids": list(ids)})


def due(tx: Transaction, limit: int) -> list[Hook]:
    """Up to ``limit`` due rows as they will be once they are claimed; they are this transaction's until it ends."""
    return [Hook(**row) for row in tx.all(QUERIES.prepared("due"), {"limit": limit})]


def claim(tx: Transaction, hooks: Sequence[Hook], token: UUID, lease_s: float) -> None:
    """Takes rows that ``due`` gave under a lease: received or retrying → processing."""
    if hooks:
        tx.execute(QUERIES["claim"], {"ids": [hook.id for hook in hooks], "token": token, "lease_s": lease_s})


def pass_unheard(tx: Transaction, hooks: Sequence[Hook]) -> None:
    """received or retrying → processing → handled at once, for rows that ``due`` gave and nobody's code is to handle.

    The journal tells both changes, as ``claim`` and ``complete`` would.
    """
    if hooks:
        text = orjson.dumps([_passed(hook) for hook in hooks]).decode()
        tx.execute(QUERIES["pass_unheard"], {"rows": text})


def claim_expired(tx: Transaction, token: UUID, lease_s: float, max_attempts: int) -> list[Hook]:
    """Takes at most one row whose lease ran out: processing → processing, the next attempt."""
    rows = tx.all(QUERIES["claim_expired"], {"token": token, "lease_s": lease_s, "max_attempts": max_attempts})
    return [Hook(**row) for row in rows]


def renew(tx: Transaction, ids: Sequence[UUID], token: UUID, lease_s: float) -> None:
    """Extends the leases that this token still holds."""
    tx.execute(QUERIES["renew"], {"ids": list(ids), "token": token, "lease_s": lease_s})


def complete(tx: Transaction, hooks: Sequence[Hook], token: UUID) -> None:
    """processing → handled for all of ``hooks``, each with the event that its family tells.

    Raises:
        LeaseLost: at least one row is no longer under this token; the caller's transaction must roll back.
    """
    text = orjson.dumps([_handled(hook) for hook in hooks]).decode()
    done = tx.one(QUERIES["complete"], {"rows": text, "token": token})
    if done != {"count": len(hooks)}:
        raise LeaseLost


def retry(tx: Transaction, hook: Hook, token: UUID, error_code: str, error: str, delay_s: float) -> None:
    """processing → retrying, due again after ``delay_s``. Raises LeaseLost as ``complete``."""
    row = tx.one(
        QUERIES["retry"],
        {"id": hook.id, "token": token, "error_code": error_code, "error": _cut(error), "delay_s": delay_s},
    )
    if row is None:
        raise LeaseLost
    extra = {
        "error_code": error_code,
        "error": _cut(error),
        "next_attempt_at": row["next_attempt_at"].isoformat(),
    }
    append(tx, [_changed(hook, row["version"], "processing", "retrying", hook.attempt, extra)])


def bury(tx: Transaction, hook: Hook, token: UUID, error_code: str, error: str) -> None:
    """processing → dead, with the reason. Raises LeaseLost as ``complete``."""
    row = tx.one(QUERIES["bury"], {"id": hook.id, "token": token, "error_code": error_code, "error": _cut(error)})
    if row is None:
        raise LeaseLost
    extra = {"error_code": error_code, "error": _cut(error)}
    append(tx, [_changed(hook, row["version"], "processing", "dead", hook.attempt, extra)])


def bury_expired(tx: Transaction, max_attempts: int, limit: int = 100) -> int:
    """processing → dead for rows whose every attempt ended with its worker gone; returns how many."""
    reason = {"error_code": "worker-lost", "error": f"The worker died in each of {max_attempts} attempts."}
    rows = tx.all(QUERIES["bury_expired"], {"max_attempts": max_attempts, "limit": limit, **reason})
    append(tx, [_changed_row(row, "processing", "dead", row["attempt"], reason) for row in rows])
    return len(rows)


def replay(tx: Transaction, hook_id: UUID) -> dict[str, Any] | None:
    """handled or dead → received, attempts counted anew; None where the state does not allow it."""
    row = tx.one(QUERIES["replay"], {"id": hook_id})
    if row is not None:
        append(tx, [_changed_row(row, row["old_state"], "received", 0, {"reason": "replay"})])
    return row


def replay_many(
    tx: Transaction, criteria: Mapping[str, Any], after_id: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """handled or dead → received for up to ``limit`` rows that fit ``criteria``, in id order after ``after_id``;
    returns ``id`` and ``previous_state`` of each."""
    return tx.all(QUERIES["replay_many"], {**criteria, "after_id": after_id, "limit": limit})


def drop(tx: Transaction, hook_id: UUID) -> bool:
    """dead → gone, its end kept in the journal; False where the state does not allow it."""
    row = tx.one(QUERIES["drop"], {"id": hook_id})
    if row is not None:
        append(tx, [_changed_row(row, "dead", "dropped", row["attempt"], {"reason": "dropped"})])
    return row is not None


def _row(delivery: Delivery) -> dict[str, Any]:
    hook = delivery.hook
    family, event_type = mapping.classify(hook.resource, hook.action)
    body = hook.canonical()
    row = {
        "id": delivery.id,
        "source": hook.source,
        "delivery_id": hook.delivery_id,
        "body_digest": hashlib.sha256(body).hexdigest(),
        "family": family,
        "event_type": event_type,
        "action": hook.action,
        "resource": hook.resource,
        "resource_id": hook.resource_id,
        "schema_version": hook.version,
        "environment": hook.environment,
        "body": orjson.Fragment(body),
        "correlation_id": delivery.correlation_id,
        "event_id": new_id(),
    }
    if may_hold_secrets(body):
        row["told_body"] = redact(hook.body())
    return row


def _passed(hook: Hook) -> dict[str, Any]:
    row: dict[str, Any] = {"id": hook.id, "claimed": new_id(), "handled": new_id()}
    if hook.family != mapping.GENERIC and may_hold_secrets(orjson.dumps(hook.body)):
        row["told_body"] = redact(hook.body)
    return row


def _handled(hook: Hook) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "hook_id": str(hook.id),
        "from": "processing",
        "state": "handled",
        "attempt": hook.attempt,
    }
    told = STATE_CHANGED if hook.family == mapping.GENERIC else hook.event_type
    payload |= {"event_type": hook.event_type} if told == STATE_CHANGED else {"family": hook.family, **hook.body}
    return {
        "id": hook.id,
        "event_id": new_id(),
        "event_type": told,
        "payload": orjson.Fragment(redacted_text(payload)),
        "correlation_id": hook.correlation_id,
    }


def _changed(hook: Hook, version: int, old: str, new: str, attempt: int, extra: Mapping[str, Any]) -> JournalEvent:
    row = {
        "id": hook.id,
        "version": version,
        "event_type": hook.event_type,
        "correlation_id": hook.correlation_id,
    }
    return _changed_row(row, old, new, attempt, extra)


def _changed_row(row: Mapping[str, Any], old: str, new: str, attempt: int, extra: Mapping[str, Any]) -> JournalEvent:
    payload = {
        "hook_id": str(row["id"]),
        "event_type": row["event_type"],
        "from": old,
        "state": new,
        "attempt": attempt,
        **extra,
    }
    return JournalEvent(
        AGGREGATE,
        str(row["id"]),
        row["version"],
        STATE_CHANGED,
        payload,
        row["correlation_id"],
        None,
        new_id(),
    )


def _cut(text: str) -> str:
    return text.replace("\x00", "")[:ERROR_LIMIT]
