"""What callers may do with triggers: make, look at, change, pause, resume and remove them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tasks.db.pool import Database, Transaction
from tasks.errors import Conflict, FieldError, NotFound, ValidationFailed
from tasks.ids import new_id
from tasks.paging import Page, checked_limit, decode_cursor, encode_cursor
from tasks.workflows.target import FIELDS, split
from tasks.workflows.triggers import store
from tasks.workflows.triggers.model import STATES, TriggerSpec
from tasks.workflows.triggers.store import Row

_SHOWN_RECENT = 20
_LISTS = ("families", "event_types", "sources")


class TriggerService:
    """Triggers behind HTTP and the command line. A change holds for every hook that is accepted after it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def create(self, given: Mapping[str, Any], by: str) -> Row:
        """Makes a trigger of the fields of ``TriggerSpec`` and ``Target``, and shows it.

        Raises:
            ValidationFailed: with everything that is wrong.
            Conflict: there is one of this name.
        """
        with self._db.transaction() as tx:
            spec = _checked(tx, given)
            made = store.insert(tx, {**spec.row(), "id": new_id(), "created_by": by})
            if made is None:
                raise Conflict(f"There is a trigger {spec.name!r} already.")
            return made

    def list(
        self, *, state: str | None = None, workflow: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page:
        """Triggers by name. Raises ValidationFailed."""
        if state is not None and state not in STATES:
            _refuse([FieldError.not_one_of("/state", STATES)])
        after = None if cursor is None else decode_cursor(cursor, 1)[0]
        wanted = {"state": state, "workflow": workflow, "after": after, "limit": checked_limit(limit) + 1}
        with self._db.transaction() as tx:
            rows = tx.all(store.QUERIES["list"], wanted)
        more = len(rows) > limit
        return Page(rows[:limit], encode_cursor(rows[limit - 1]["name"]) if more else None)

    def get(self, which: UUID | str) -> Row:
        """One by id or name, with what became of the last twenty hooks that it matched. Raises NotFound."""
        with self._db.transaction() as tx:
            row = _found(store.get(tx, which), which)
            return {**row, "recent": store.recent_firings(tx, row["id"], _SHOWN_RECENT)}

    def change(self, which: UUID | str, given: Mapping[str, Any], by: str) -> Row:
        """Changes the fields that are given. Raises as ``create``, and NotFound."""
        with self._db.transaction() as tx:
            row = _found(store.lock(tx, which), which)
            spec = _checked(tx, {**_fields(row), **given})
            other = store.get(tx, spec.name)
            if other is not None and other["id"] != row["id"]:
                raise Conflict(f"There is a trigger {spec.name!r} already.")
            return store.update(tx, {**spec.row(), "id": row["id"], "state": row["state"]}, "changed", by)

    def pause(self, which: UUID | str, by: str) -> Row:
        """active → paused: hooks pass it by. Raises NotFound, Conflict."""
        return self._turn(which, "active", "paused", "paused", by)

    def resume(self, which: UUID | str, by: str) -> Row:
        """paused → active. Raises NotFound, Conflict."""
        return self._turn(which, "paused", "active", "resumed", by)

    def remove(self, which: UUID | str, by: str) -> Row:
        """Removes it, in any state; its runs go on. Returns what it was. Raises NotFound."""
        with self._db.transaction() as tx:
            row = _found(store.lock(tx, which), which)
            store.delete(tx, row["id"], by)
        return row

    def _turn(self, which: UUID | str, old: str, new: str, act: str, by: str) -> Row:
        with self._db.transaction() as tx:
            row = _found(store.lock(tx, which), which)
            if row["state"] != old:
                raise Conflict(f"The trigger is {row['state']}; only one that is {old} can be {act}.")
            spec = TriggerSpec.of_row(row)
            return store.update(tx, {**spec.row(), "id": row["id"], "state": new}, act, by)


def _checked(tx: Transaction, given: Mapping[str, Any]) -> TriggerSpec:
    target, own = split(given)
    spec = TriggerSpec(**{**own, **{name: tuple(own.get(name, ())) for name in _LISTS}}, target=target)
    _refuse([*spec.mistakes(), *target.unknown(tx)])
    return spec


def _fields(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("name", "filter", *_LISTS, *FIELDS)}


def _found(row: Row | None, which: UUID | str) -> Row:
    if row is None:
        raise NotFound(f"There is no trigger {str(which)[:100]!r}.")
    return row


def _refuse(mistakes: list[FieldError]) -> None:
    if mistakes:
        raise ValidationFailed("The trigger is not valid; see errors.", errors=mistakes)
