"""The states of a Celery task as the mirror knows them, and which of two is the later one.

Transitions may come in any order: what a task's row shows is the greatest by (attempt, rank) of all that came, so
the outcome is the same for every order. A task's attempt counts its retries from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

# sent: published. received: a worker has the message. started: a process runs it. retried: it will run once more,
# because it asked to or because its process died. lost: no news for too long. rejected: dropped without an end,
# since nothing takes it or it came too often. revoked: called off, or expired. failed, succeeded: it ended.
RANKS: Mapping[str, int] = {
    "sent": 0,
    "received": 1,
    "started": 2,
    "retried": 3,
    "lost": 4,
    "rejected": 5,
    "revoked": 6,
    "failed": 7,
    "succeeded": 8,
}
STATES: tuple[str, ...] = tuple(RANKS)
ENDS = frozenset({"succeeded", "failed", "revoked", "rejected", "lost"})

# What usually follows what. After "retried" comes the next attempt; news of a lost task are welcome.
CHART: Mapping[str, frozenset[str]] = {
    "sent": frozenset({"received", "revoked", "rejected", "lost"}),
    "received": frozenset({"started", "revoked", "rejected", "lost"}),
    "started": frozenset({"succeeded", "failed", "retried", "revoked", "rejected", "lost"}),
    "retried": frozenset({"sent", "succeeded", "failed", "revoked", "rejected", "lost"}),
    "lost": frozenset({"rejected", "revoked", "failed", "succeeded"}),
    "rejected": frozenset(),
    "revoked": frozenset(),
    "failed": frozenset(),
    "succeeded": frozenset(),
}

_TEXT_LIMIT = 512
_ERROR_LIMIT = 2000
_ATTEMPT_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Transition:
    """One task came into one state. ``again``: the writer can't tell whether it wrote this once before."""

    event_id: UUID
    task_id: str
    name: str
    state: str
    attempt: int
    at: datetime
    queue: str | None = None
    worker: str | None = None
    correlation_id: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    error_type: str | None = None
    error: str | None = None
    due_at: datetime | None = None
    again: bool = False

    @property
    def key(self) -> tuple[int, int]:
        """What decides which of two transitions is the later one."""
        return self.attempt, RANKS[self.state]

    @classmethod
    def parse(cls, raw: bytes) -> Transition:
        """Reads an entry of the state stream. Raises ValueError that says what is wrong with it."""
        entry = orjson.loads(raw)
        if not isinstance(entry, dict):
            raise ValueError("not a JSON object")
        state, attempt = entry.get("state"), entry.get("attempt")
        if not isinstance(state, str) or state not in RANKS:
            raise ValueError(f"unknown state {str(state)[:40]!r}")
        if type(attempt) is not int or not 0 <= attempt <= _ATTEMPT_LIMIT:
            raise ValueError("attempt is not a whole number from 0")
        task_id = _text(entry, "task_id")
        if not task_id or len(task_id) == _TEXT_LIMIT:
            raise ValueError("task_id is missing or too long")
        eta = _text(entry, "eta")
        return cls(
            event_id=UUID(str(entry.get("event_id"))),
            task_id=task_id,
            name=_text(entry, "name") or "unknown",
            state=state,
            attempt=attempt,
            at=_moment(entry.get("at")),
            queue=_text(entry, "queue"),
            worker=_text(entry, "worker"),
            correlation_id=_text(entry, "correlation_id"),
            parent_id=_text(entry, "parent_id"),
            root_id=_text(entry, "root_id"),
            error_type=_text(entry, "error_type"),
            error=_text(entry, "error", _ERROR_LIMIT),
            due_at=_moment(eta) if eta else None,
            again=entry.get("again") is True,
        )


@dataclass(frozen=True)
class Change:
    """What some transitions of one task mean for its row."""

    latest: Transition
    transitions: int
    deliveries: int
    queue: str | None
    worker: str | None
    correlation_id: str | None
    parent_id: str | None
    root_id: str | None
    first_seen_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    due_at: datetime | None


def later(latest: Transition | None, candidate: Transition) -> Transition:
    """The one of the two that a task's row shows; the first where they are alike."""
    return candidate if latest is None or candidate.key > latest.key else latest


def fold(transitions: Sequence[Transition]) -> Change:
    """Sums up transitions of one task, at least one, in the order in which they came."""
    latest: Transition | None = None
    for transition in transitions:
        latest = later(latest, transition)
    assert latest is not None
    return Change(
        latest=latest,
        transitions=len(transitions),
        deliveries=sum(t.state == "received" for t in transitions),
        queue=latest.queue or _known(t.queue for t in transitions),
        worker=latest.worker or _known(t.worker for t in transitions),
        correlation_id=_known(t.correlation_id for t in transitions),
        parent_id=_known(t.parent_id for t in transitions),
        root_id=_known(t.root_id for t in transitions),
        first_seen_at=min(t.at for t in transitions),
        started_at=min((t.at for t in transitions if t.state == "started"), default=None),
        finished_at=latest.at if latest.state in ENDS else None,
        due_at=max((t.due_at for t in transitions if t.due_at), default=None),
    )


def _known(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value), None)


def _text(entry: Mapping[str, Any], name: str, limit: int = _TEXT_LIMIT) -> str | None:
    value = entry.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    # PostgreSQL's text holds no NUL.
    return value.replace("\x00", " ")[:limit]


def _moment(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError("a time is not a text")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a time has no offset from UTC")
    return moment
