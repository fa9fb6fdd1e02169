"""What the expressions of steps read of other steps: from rows, or from memory where this message's work made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Database
from tasks.workflows.store import steps
from tasks.workflows.store.steps import Claimed
from tasks.workflows.work.contexts import RunContext

_SMALL_BYTES = 65_536
_KEPT = 256


class Outputs:
    """The results that one message's work has read or made, of one run. A step that ended does not change, until
    somebody has its run tried again, and that is another message's work."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._run: UUID | None = None
        self._known: dict[int, tuple[str, Any]] = {}

    def of(self, context: RunContext, place: int, also: Sequence[Claimed] = ()) -> dict[int, tuple[str, Any]]:
        """State and output of what a step reads, by place; reads what the steps ``also`` need along with it."""
        wanted = context.reads(place)
        if not wanted:
            return {}
        self._turn_to(context)
        missing = set(wanted) - self._known.keys()
        if missing:
            for one in also:
                missing.update(context.reads(one.place))
            missing -= self._known.keys()
            with self._db.autocommit() as tx:
                self._known.update(steps.results(tx, context.row.id, sorted(missing)))
        return {each: self._known[each] for each in wanted if each in self._known}

    def all_of(self, context: RunContext, places: Sequence[int], last: int) -> dict[int, tuple[str, Any]] | None:
        """State and output of these places, which have all ended, but for ``last``, which is about to; None where
        this message's work has not kept what that one gave."""
        self._turn_to(context)
        missing = [place for place in places if place not in self._known]
        if last in missing:
            return None
        if missing:
            with self._db.autocommit() as tx:
                self._known.update(steps.results(tx, context.row.id, missing))
        return {place: self._known[place] for place in places}

    def learn(self, context: RunContext, place: int, output: bytes) -> None:
        """A step succeeded with this output, as JSON text."""
        self._turn_to(context)
        if len(output) <= _SMALL_BYTES and len(self._known) < _KEPT:
            self._known[place] = ("succeeded", orjson.loads(output))

    def _turn_to(self, context: RunContext) -> None:
        if self._run != context.row.id:
            self._run = context.row.id
            self._known = {}
