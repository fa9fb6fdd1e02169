"""Replays many hooks: those of a list of ids, or all that a filter finds. One hook alone: ``HookService.replay``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tasks.db.pool import Database
from tasks.errors import FieldError, ValidationFailed
from tasks.hooks import store
from tasks.hooks.model import END_STATES

MOST = 10_000
_BATCH = 1_000

Hint = Callable[[list[UUID]], bool]


@dataclass(frozen=True)
class Choice:
    """Which hooks: all that is given must fit. ``since`` (inclusive) and ``until`` are times of receipt.

    ``states`` are end states; without ids only dead hooks are meant where none is given.
    """

    ids: tuple[UUID, ...] = ()
    states: tuple[str, ...] = ()
    source: str | None = None
    event_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def check(self) -> None:
        """Raises ValidationFailed where it names nothing at all, or a state that can't be replayed."""
        wrong = sorted(set(self.states) - END_STATES)
        if wrong:
            raise _refused("/state", f"must be dead or handled, not {wrong[0]}")
        if self == Choice():
            raise _refused("", "name ids, or at least one of state, source, type, since, until")


@dataclass(frozen=True)
class Replayed:
    """What was replayed: ``id`` and ``previous_state`` of each. ``more``: the limit was reached."""

    items: list[dict[str, Any]]
    more: bool


class HookReplays:
    """Sends chosen hooks through their handlers again, attempts counted anew."""

    def __init__(self, db: Database, hint: Hint) -> None:
        self._db = db
        self._hint = hint

    def replay(self, choice: Choice, limit: int | None = None) -> Replayed:
        """Replays up to ``limit`` hooks, else all, oldest first, a thousand in a transaction. None of them twice,
        though one may come to its end again meanwhile. What another transaction has locked is passed over.

        Raises:
            ValidationFailed: the choice is empty or wrong.
        """
        choice.check()
        items: list[dict[str, Any]] = []
        last: UUID | None = None
        while limit is None or len(items) < limit:
            wanted = _BATCH if limit is None else min(_BATCH, limit - len(items))
            with self._db.transaction() as tx:
                rows = store.replay_many(tx, _criteria(choice), last, wanted)
            items += rows
            if rows:
                last = rows[-1]["id"]
                self._hint([row["id"] for row in rows])
            if len(rows) < wanted:
                return Replayed(items, more=False)
        return Replayed(items, more=True)


def _criteria(choice: Choice) -> dict[str, Any]:
    states: Sequence[str] = choice.states or (sorted(END_STATES) if choice.ids else ["dead"])
    return {
        "states": list(states),
        "ids": list(choice.ids) or None,
        "source": choice.source,
        "event_type": choice.event_type,
        "since": choice.since,
        "until": choice.until,
    }


def _refused(pointer: str, detail: str) -> ValidationFailed:
    return ValidationFailed("These hooks can't be replayed.", errors=[FieldError(pointer, detail)])
