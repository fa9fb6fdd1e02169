"""The tables of carried questions and comparisons: the only place that changes their state, with its journal row.

    question:    pending ──► running ──► succeeded | failed        running ──lease expired──► running (attempt + 1)
                    ▲──shutdown──┘
    comparison:  running ──► succeeded | partial | failed

The journal tells neither prompts nor answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.ids import new_id
from tasks.journal.model import JournalEvent
from tasks.journal.store import append

QUERIES = Queries("tasks.lab", "requests.sql")
STATES = ("pending", "running", "succeeded", "failed")
COMPARISON_STATES = ("running", "succeeded", "partial", "failed")
_REQUEST_CHANGED = "lab-request-changed"
_COMPARISON_CHANGED = "lab-comparison-changed"
_ERROR_LIMIT = 2000


@dataclass(frozen=True)
class NewRequests:
    """Rows to be: one for each question, and the comparison that they make (None: they make none)."""

    requests: Mapping[UUID, Mapping[str, Any]]
    timeout_s: float
    correlation_id: str
    body_digest: bytes
    idempotency_key: str | None = None
    comparison_id: UUID | None = None
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claimed:
    """A question that a worker has taken. ``left_s``: until the comparison's deadline (None: the question has none
    but its own time)."""

    id: UUID
    comparison_id: UUID | None
    request: dict[str, Any]
    timeout_s: float
    attempt: int
    version: int
    correlation_id: str
    old_state: str
    left_s: float | None


def insert(tx: Transaction, new: NewRequests) -> bool:
    """Stores them as ``pending`` and ``running``, with their journal rows; False where the idempotency key is
    known."""
    rows = [{"id": key, "place": place, "request": row} for place, (key, row) in enumerate(new.requests.items())]
    added = tx.all(
        QUERIES["insert"],
        {
            "rows": orjson.dumps(rows).decode(),
            "comparison_id": new.comparison_id,
            "models": list(new.models),
            "correlation_id": new.correlation_id,
            "idempotency_key": new.idempotency_key,
            "body_digest": new.body_digest,
            "timeout_s": new.timeout_s,
        },
    )
    if not added:
        return False
    made = {"version": 1, "correlation_id": new.correlation_id, "comparison_id": new.comparison_id}
    events = [_changed({**made, "id": row["id"]}, "pending") for row in added]
    if new.comparison_id is not None:
        events.append(_concluded({**made, "id": new.comparison_id}, "running"))
    append(tx, events)
    return True


def claim(tx: Transaction, request_id: UUID, token: UUID, lease_s: float, max_attempts: int) -> Claimed | None:
    """pending → running, or running → running where the worker is gone; None where it is not to be had."""
    row = tx.one(
        QUERIES["claim"], {"id": request_id, "token": token, "lease_s": lease_s, "max_attempts": max_attempts}
    )
    if row is None:
        return None
    append(tx, [_changed(row, "running", {"from": row["old_state"], "attempt": row["attempt"]})])
    return Claimed(**row)


def renew(tx: Transaction, request_id: UUID, token: UUID, lease_s: float) -> bool:
    """Extends the lease, if the token still holds it."""
    return tx.execute(QUERIES["renew"], {"id": request_id, "token": token, "lease_s": lease_s}) == 1


def succeed(tx: Transaction, request_id: UUID, token: UUID, answer: Mapping[str, Any]) -> bool:
    """running → succeeded; False where the lease was lost, and the answer comes too late."""
    text = orjson.dumps(answer).decode()
    row = tx.one(QUERIES["succeed"], {"id": request_id, "token": token, "answer": text})
    if row is not None:
        append(tx, [_changed(row, "succeeded", {"from": "running", "attempt": row["attempt"]})])
    return row is not None


def give_back(tx: Transaction, request_id: UUID, token: UUID) -> bool:
    """running → pending, the attempt not counted; False as ``succeed``."""
    row = tx.one(QUERIES["give_back"], {"id": request_id, "token": token})
    if row is not None:
        append(tx, [_changed(row, "pending", {"from": "running", "attempt": row["attempt"]})])
    return row is not None


def fail(
    tx: Transaction, request_id: UUID, token: UUID, code: str, error: str, errors: Sequence[Mapping[str, str]]
) -> bool:
    """running → failed, with the reason; False as ``succeed``."""
    values = {"error_code": code, "error": _cut(error), "errors": orjson.dumps(list(errors)).decode()}
    row = tx.one(QUERIES["fail"], {"id": request_id, "token": token, **values})
    if row is not None:
        append(tx, [_failed(row, code)])
    return row is not None


def fail_lost(tx: Transaction, max_attempts: int, limit: int) -> None:
    """running → failed for questions of which every worker died."""
    reason = {"error_code": "LAB_5", "error": f"The worker died in each of {max_attempts} attempts."}
    rows = tx.all(QUERIES["fail_lost"], {"max_attempts": max_attempts, "limit": limit, **reason})
    append(tx, [_failed(row, reason["error_code"]) for row in rows])


def conclude(tx: Transaction, comparison_id: UUID) -> str | None:
    """running → succeeded | partial | failed, when all members have ended or the deadline has passed, which ends
    those that are still open. Returns the new state; None where it is not time yet, or was done before."""
    row = tx.one(QUERIES["lock_comparison"], {"id": comparison_id})
    if row is None:
        return None
    if row["is_over"]:
        reason = {"error_code": "LAB_4", "error": "It did not answer before the comparison's deadline."}
        ended = tx.all(QUERIES["end_members"], {"comparison_id": comparison_id, **reason})
        append(tx, [_failed(member, reason["error_code"]) for member in ended])
    done = tx.one(QUERIES["conclude"], {"id": comparison_id})
    if done is None:
        return None
    append(tx, [_concluded(done, done["state"])])
    return str(done["state"])


def _changed(row: Mapping[str, Any], state: str, more: Mapping[str, Any] | None = None) -> JournalEvent:
    comparison = {"comparison_id": str(row["comparison_id"])} if row["comparison_id"] else {}
    payload = {"request_id": str(row["id"]), "state": state, **comparison, **(more or {})}
    return _event("lab-request", row, _REQUEST_CHANGED, payload)


def _failed(row: Mapping[str, Any], code: str) -> JournalEvent:
    return _changed(row, "failed", {"attempt": row["attempt"], "error_code": code})


def _concluded(row: Mapping[str, Any], state: str) -> JournalEvent:
    payload = {"comparison_id": str(row["id"]), "state": state}
    return _event("lab-comparison", row, _COMPARISON_CHANGED, payload)


def _event(aggregate: str, row: Mapping[str, Any], event_type: str, payload: Mapping[str, Any]) -> JournalEvent:
    return JournalEvent(
        aggregate, str(row["id"]), row["version"], event_type, payload, row["correlation_id"], None, new_id()
    )


def _cut(text: str) -> str:
    return text.replace("\x00", "")[:_ERROR_LIMIT]
