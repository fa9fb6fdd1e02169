"""The tables ``triggers`` and ``trigger_firings``: the only place that changes a trigger, with its journal row.

Every function works in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from tasks import correlation
from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.errors import NotFound
from tasks.hooks.model import Hook
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.workflows.triggers.model import Rule

QUERIES = Queries("tasks.workflows.triggers", "triggers.sql")
AGGREGATE = "trigger"
FIRING = "trigger-firing"
CHANGED = "configuration-changed"
FAILED = "workflow-trigger-failed"
_DETAIL_LIMIT = 500

Row = dict[str, Any]


@dataclass(frozen=True)
class Fired:
    """What became of a hook that a trigger matched."""

    rule: Rule
    hook: Hook
    run_id: UUID | None
    code: str | None = None
    detail: str | None = None

    def row(self) -> Row:
        """The values of its columns."""
        return {
            "trigger_id": self.rule.id,
            "hook_id": self.hook.id,
            "hook_version": self.hook.version,
            "outcome": "failed" if self.run_id is None else "started",
            "run_id": self.run_id,
            "detail": None if self.detail is None else self.detail.replace("\x00", "")[:_DETAIL_LIMIT],
        }


def insert(tx: Transaction, row: Mapping[str, Any]) -> Row | None:
    """Makes a trigger; None where the name is taken."""
    made = tx.one(QUERIES["insert"], row)
    if made is not None:
        _tell(tx, made, "created", made["created_by"])
    return made


def lock(tx: Transaction, which: UUID | str) -> Row | None:
    """A trigger by id or name, kept from others until the transaction ends."""
    return tx.one(QUERIES["lock"], _which(which))


def update(tx: Transaction, row: Mapping[str, Any], action: str, actor: str) -> Row:
    """Writes all columns of a locked trigger; ``action`` says what for."""
    changed = tx.one(QUERIES["update"], row)
    if changed is None:
        raise NotFound("The trigger is gone.")
    _tell(tx, changed, action, actor)
    return changed


def delete(tx: Transaction, trigger_id: UUID, actor: str) -> None:
    """Removes a locked trigger. Its runs stay."""
    gone = tx.one(QUERIES["delete"], {"id": trigger_id})
    if gone is not None:
        _tell(tx, gone, "removed", actor)


def get(tx: Transaction, which: UUID | str) -> Row | None:
    """A trigger by id or name."""
    return tx.one(QUERIES["get"], _which(which))


def recent_firings(tx: Transaction, trigger_id: UUID, limit: int) -> list[Row]:
    """What became of the last hooks that it matched, newest first, with the state of their runs."""
    return tx.all(QUERIES["recent_firings"], {"id": trigger_id, "limit": limit})


def changes(tx: Transaction) -> int:
    """How often triggers were changed so far."""
    row = tx.one(QUERIES.prepared("changes"))
    return 0 if row is None else int(row["count"])


def active(tx: Transaction) -> list[Row]:
    """The triggers that begin workflows now."""
    return tx.all(QUERIES["active"])


def record(tx: Transaction, fired: Sequence[Fired]) -> None:
    """Keeps what became of a hook, and tells of what failed."""
    rows = orjson.dumps([one.row() for one in fired]).decode()
    tx.execute(QUERIES["record_firings"], {"rows": rows})
    append(tx, [_failure(one) for one in fired if one.run_id is None])


def delete_old_firings(tx: Transaction, keep_days: int, limit: int) -> int:
    """Forgets old firings; returns how many."""
    return tx.execute(QUERIES["delete_old_firings"], {"keep_days": keep_days, "limit": limit})


def _which(which: UUID | str) -> Row:
    by_id = isinstance(which, UUID)
    return {"id": which if by_id else None, "name": None if by_id else which}


def _tell(tx: Transaction, row: Mapping[str, Any], action: str, actor: str) -> None:
    tx.execute(QUERIES["count_change"])
    payload = {
        "setting": "trigger",
        "action": action,
        "trigger_id": str(row["id"]),
        "name": row["name"],
        "state": row.get("state"),
        "workflow": row.get("workflow"),
        "by": actor,
    }
    event = JournalEvent(
        AGGREGATE, str(row["id"]), row["version"], CHANGED, payload, correlation_id=correlation.current()
    )
    append(tx, [event])


def _failure(fired: Fired) -> JournalEvent:
    hook, rule = fired.hook, fired.rule
    payload = {
        "trigger_id": str(rule.id),
        "name": rule.spec.name,
        "workflow": rule.spec.target.workflow,
        "hook_id": str(hook.id),
        "event_type": hook.event_type,
        "error_code": fired.code,
        "error": fired.row()["detail"],
    }
    return JournalEvent(
        FIRING, f"{rule.id}/{hook.id}", hook.version, FAILED, payload, correlation_id=hook.correlation_id
    )
