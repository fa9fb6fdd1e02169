"""What callers may ask of the mirrored task states: lists, and one task with its history."""

from __future__ import annotations

from typing import Any

from tasks.db.pool import Database
from tasks.errors import FieldError, NotFound, ValidationFailed
from tasks.journal import store as journal
from tasks.paging import Page, checked_limit, decode_moment, page_by_moment
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
            raise ValidationFailed("Unknown state.", errors=[FieldError.not_one_of("/state", STATES)])
        before_at, before_id = decode_moment(cursor)
        parameters = {
            "state": state,
            "name": name,
            "before_at": before_at,
            "before_id": before_id,
            "limit": checked_limit(limit) + 1,
        }
        with self._db.transaction() as tx:
            rows = tx.all(store.QUERIES["list"], parameters)
        return page_by_moment(rows, limit, "first_seen_at", "task_id")
