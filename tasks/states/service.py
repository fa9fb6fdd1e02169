"""What callers may ask of the mirrored task states: lists, and one task with its history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tasks.db.pool import Database
from tasks.errors import FieldError, NotFound, ValidationFailed
from tasks.journal import store as journal
from tasks.paging import MAX_LIMIT, Page, decode_cursor, encode_cursor
from tasks.states import store
from tasks.states.model import STATES


class TaskStateService:
    """Reads ``task_states``; it changes nothing."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, task_id: str) -> dict[str, Any]:
        """One task, with all its transitions, oldest first, as ``history``. Raises NotFound."""
        with self._db.transaction() as tx:
            row = tx.one(store.QUERIES["get"], {"task_id": task_id})
            if row is None:
                raise NotFound(f"There is no task {task_id}.")
            history = journal.of_aggregate(tx, store.AGGREGATE, task_id)
        return {**row, "history": history}

    def list(
        self,
        state: str | None = None,
        name: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Tasks by the time they were first seen, newest first. Raises ValidationFailed."""
        if state is not None and state not in STATES:
            allowed = ", ".join(STATES)
            raise ValidationFailed("Unknown state.", errors=[FieldError("/state", f"must be one of {allowed}")])
        if not 1 <= limit <= MAX_LIMIT:
            raise ValidationFailed("Bad limit.", errors=[FieldError("/limit", f"must be between 1 and {MAX_LIMIT}")])
        before_at, before_id = _position(cursor)
        parameters = {
            "state": state,
            "name": name,
            "before_at": before_at,
            "before_id": before_id,
            "limit": limit + 1,
        }
        with self._db.transaction() as tx:
            rows = tx.all(store.QUERIES["list"], parameters)
        if len(rows) <= limit:
            return Page(rows, None)
        last = rows[limit - 1]
        return Page(rows[:limit], encode_cursor(last["first_seen_at"].isoformat(), last["task_id"]))


def _position(cursor: str | None) -> tuple[datetime | None, str | None]:
    if cursor is None:
        return None, None
    at, task_id = decode_cursor(cursor, 2)
    try:
        return datetime.fromisoformat(at), task_id
    except ValueError:
        raise ValidationFailed("The cursor is not one of this list.") from None
