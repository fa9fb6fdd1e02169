"""What is shown of runs: one, its steps, a step with its attempts, its chart, and lists. Reads only.

``shown.py`` cuts what is large, ``chart.py`` draws; states are changed in ``store/``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tasks.db.pool import Database, Transaction
from tasks.db.queries import Queries
from tasks.errors import FieldError, NotFound, ValidationFailed
from tasks.ids import first_id_at
from tasks.journal import store as journal
from tasks.paging import Page, checked_limit, decode_cursor, decode_id, encode_cursor
from tasks.workflows import definitions
from tasks.workflows.chart import MOST_NODES, NODES, chart
from tasks.workflows.definition.suggest import did_you_mean
from tasks.workflows.folding import Folded, fold
from tasks.workflows.shown import CUT, CUT_IN_LISTS, WHOLE, attempts, with_values
from tasks.workflows.states import ITEM_STATES, RUN, STEP
from tasks.workflows.stored import StoredDefinition

QUERIES = Queries("tasks.workflows", "reading.sql")
RUN_AGGREGATE = "run"
STEP_AGGREGATE = "step"
ITEM_AGGREGATE = "item"
_WAITING = 20
_FAILED_ITEMS = 20
# Of all folds that a process keeps: about 4 MB.
_FOLDED_STEPS = 100_000
_CLOCK_SLACK = timedelta(minutes=1)


class Reading:
    """Reads runs from ``db``. Every method raises NotFound for a run or step that is not there."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._folds: dict[tuple[UUID, int], Folded] = {}
        self._folded_steps = 0

    def status(self, run_id: UUID) -> dict[str, Any]:
        """A run without its values: ``steps`` counts its steps by state, ``waiting`` names those that a signal or a
        decision from outside moves on."""
        with self._db.transaction() as tx:
            head = _head(tx, run_id)
            return {**_without_id(head), **_counts(tx, run_id), "waiting": _waiting(tx, head)}

    def run(self, run_id: UUID, *, whole: bool = False) -> dict[str, Any]:
        """A run with input, output and ``journal``; values are cut at 64 k characters, unless ``whole``."""
        with self._db.transaction() as tx:
            cut = WHOLE if whole else CUT
            row = tx.one(QUERIES["run"], {"id": run_id, "cut": cut})
            if row is None:
                raise _no_run(run_id)
            return {
                **_without_id(with_values(row, cut, "input", "output")),
                **_counts(tx, run_id),
                "waiting": _waiting(tx, row),
                "journal": journal.of_aggregate(tx, RUN_AGGREGATE, str(run_id)),
            }

    def steps(self, run_id: UUID, *, limit: int = 100, cursor: str | None = None, state: str | None = None) -> Page:
        """The steps of a run, each after its parents, values cut at 2,000 characters. Raises ValidationFailed."""
        _check_state("/state", state, STEP.states)
        after = -1 if cursor is None else _place_in(cursor)
        parameters = {
            "id": run_id,
            "after": after,
            "state": state,
            "cut": CUT_IN_LISTS,
            "limit": checked_limit(limit) + 1,
        }
        with self._db.transaction() as tx:
            stored = _definition(tx, _head(tx, run_id))
            rows = tx.all(QUERIES["steps"], parameters)
        items = [_step(stored, row, CUT_IN_LISTS, "output") for row in rows[:limit]]
        return Page(items, encode_cursor(str(rows[limit - 1]["place"])) if len(rows) > limit else None)

    def step(self, run_id: UUID, key: str, *, whole: bool = False) -> dict[str, Any]:
        """One step with its arguments, its ``attempts`` and ``journal``, and of a map how many ``items`` are in each
        state; values are cut at 64 k characters, unless ``whole``."""
        cut = WHOLE if whole else CUT
        with self._db.transaction() as tx:
            stored = _definition(tx, _head(tx, run_id))
            place = _place_of(tx, stored, run_id, key)
            row = tx.one(QUERIES["step"], {"id": run_id, "place": place, "cut": cut})
            if row is None:
                raise _no_step(run_id, key, stored)
            history = journal.of_aggregate(tx, STEP_AGGREGATE, f"{run_id}/{row['key']}")
            return {
                **_step(stored, row, cut, "arguments", "output"),
                "items": _items(tx, run_id, place) if row["kind"] == "map" else None,
                "attempts": attempts(history),
                "journal": history,
            }

    def items(
        self, run_id: UUID, key: str, *, state: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page:
        """The items of a map by index, values cut at 2,000 characters; none where the step is no map, or has not
        begun. Raises ValidationFailed."""
        _check_state("/state", state, ITEM_STATES)
        parameters = {
            "id": run_id,
            "after": -1 if cursor is None else _place_in(cursor),
            "state": state,
            "cut": CUT_IN_LISTS,
            "limit": checked_limit(limit) + 1,
        }
        with self._db.transaction() as tx:
            place = _place_of(tx, _definition(tx, _head(tx, run_id)), run_id, key)
            rows = tx.all(QUERIES["list_items"], {**parameters, "place": place})
        shown = [with_values(row, CUT_IN_LISTS, "item", "output") for row in rows[:limit]]
        return Page(shown, encode_cursor(str(rows[limit - 1]["index"])) if len(rows) > limit else None)

    def item(self, run_id: UUID, key: str, index: int) -> dict[str, Any]:
        """One item of a map, values cut at 64 k characters, with the ``journal`` of its attempts that failed."""
        with self._db.transaction() as tx:
            place = _place_of(tx, _definition(tx, _head(tx, run_id)), run_id, key)
            parameters = {"id": run_id, "place": place, "after": index - 1, "state": None, "cut": CUT, "limit": 1}
            row = tx.one(QUERIES["list_items"], parameters)
            if row is None or row["index"] != index:
                raise NotFound(f"The step '{key[:100]}' has no item {index}.")
            history = journal.of_aggregate(tx, ITEM_AGGREGATE, f"{run_id}/{key}/{index}")
        return {**with_values(row, CUT, "item", "output"), "journal": history}

    def chart(self, run_id: UUID, *, most: int = NODES) -> dict[str, Any]:
        """A run with its steps as ``nodes`` and ``edges``, at most ``most`` of its steps' nodes (``chart.chart``)."""
        if not 1 <= most <= MOST_NODES:
            raise ValidationFailed("Bad limit.", errors=[FieldError("/nodes", f"must be from 1 to {MOST_NODES}")])
        with self._db.transaction() as tx:
            head = _head(tx, run_id)
            stored = _definition(tx, head)
            rows = tx.all(QUERIES["chart"], {"id": run_id})
        return {**_without_id(head), **chart(self._folded(stored, most), rows)}

    def _folded(self, stored: StoredDefinition, most: int) -> Folded:
        known = self._folds.get((stored.id, most))
        if known is None:
            known = fold(stored.places, most)
            self._folded_steps += len(stored.places)
            if self._folded_steps > _FOLDED_STEPS:
                self._folds.clear()
                self._folded_steps = len(stored.places)
            self._folds[stored.id, most] = known
        return known

    def runs(
        self,
        *,
        name: str | None = None,
        search: str | None = None,
        state: str | Sequence[str] | None = None,
        tag: str | None = None,
        active: bool = False,
        correlation_id: str | None = None,
        parent_id: UUID | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Runs, newest first. ``search``: a part of the name; ``since`` is inclusive, ``until`` exclusive, both of
        the submission; ``active``: what has not ended. Raises ValidationFailed."""
        states = None if state is None else [state] if isinstance(state, str) else list(state)
        for one in states or ():
            _check_state("/state", one, RUN.states)
        with self._db.transaction() as tx:
            names = None
            if search is not None and name is None:
                names = [row["name"] for row in tx.all(QUERIES["run_names"], {"search": search})]
            rows = tx.all(
                QUERIES["runs"],
                {
                    "name": name,
                    "names": names,
                    "states": states,
                    "tag": tag,
                    "active": active,
                    "correlation_id": correlation_id,
                    "parent_id": parent_id,
                    "since": since,
                    "since_id": first_id_at(since - _CLOCK_SLACK) if since else None,
                    "until": until,
                    "until_id": first_id_at(until + _CLOCK_SLACK) if until else None,
                    "before_id": None if cursor is None else decode_id(cursor),
                    "limit": checked_limit(limit) + 1,
                },
            )
        more = len(rows) > limit
        return Page(rows[:limit], encode_cursor(str(rows[limit - 1]["workflow_id"])) if more else None)

    def stats(self) -> dict[str, dict[str, int]]:
        """How many runs have not ended, and how many steps are at work or due, each by state."""
        with self._db.transaction() as tx:
            return {
                "runs": {row["state"]: row["count"] for row in tx.all(QUERIES["open_runs"])},
                "steps": {row["state"]: row["count"] for row in tx.all(QUERIES["open_steps"])},
            }


def _without_id(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "definition_id"}


def _head(tx: Transaction, run_id: UUID) -> dict[str, Any]:
    row = tx.one(QUERIES["head"], {"id": run_id})
    if row is None:
        raise _no_run(run_id)
    return row


def _definition(tx: Transaction, head: Mapping[str, Any]) -> StoredDefinition:
    return definitions.by_id(tx, head["definition_id"])


def _counts(tx: Transaction, run_id: UUID) -> dict[str, Any]:
    rows = tx.all(QUERIES["counts"], {"id": run_id})
    steps = {row["state"]: row["steps"] for row in rows if row["steps"]}
    return {
        "step_count": sum(steps.values()),
        "states": steps,
        "compensations": {row["state"]: row["compensations"] for row in rows if row["compensations"]},
    }


def _waiting(tx: Transaction, head: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = tx.all(QUERIES["waiting"], {"id": head["workflow_id"], "limit": _WAITING})
    if not rows:
        return []
    steps = _definition(tx, head).places.steps
    for row in rows:
        # Arguments are kept with the row where they were rendered; else the definition says them.
        said = steps[row.pop("place")].action.arguments
        row["message"] = row["message"] or said.get("message")
    return rows


def _place_of(tx: Transaction, stored: StoredDefinition, run_id: UUID, key: str) -> int:
    place = stored.places.place_of.get(key)
    if place is not None:
        return place
    row = tx.one(QUERIES["place_of"], {"id": run_id, "key": key})
    if row is None:
        raise _no_step(run_id, key, stored)
    return int(row["place"])


def _step(stored: StoredDefinition, row: Mapping[str, Any], cut: int, *values: str) -> dict[str, Any]:
    shown = with_values(row, cut, *values)
    place, undone, child = shown.pop("place"), shown.pop("compensates"), shown.pop("child_run_id")
    steps = stored.places.steps
    if "arguments" in values and shown["arguments"] is None and shown["attempt"] and place < len(steps):
        # Kept with the row where they were rendered; else the definition says them.
        shown["arguments"] = steps[place].action.arguments
    return {
        **shown,
        "child_workflow_id": child,
        "compensates": None if undone is None else stored.places.keys[undone],
        "needs": list(steps[place].needs) if place < len(steps) else [],
    }


def _items(tx: Transaction, run_id: UUID, place: int) -> dict[str, Any]:
    at = {"id": run_id, "place": place}
    return {
        "states": {row["state"]: row["count"] for row in tx.all(QUERIES["items"], at)},
        "failed": tx.all(QUERIES["failed_items"], {**at, "limit": _FAILED_ITEMS}),
    }


def _no_run(run_id: UUID) -> NotFound:
    return NotFound(f"There is no workflow run {run_id}.")


def _no_step(run_id: UUID, key: str, stored: StoredDefinition) -> NotFound:
    hint = did_you_mean(key, stored.places.place_of)
    return NotFound(f"The run {run_id} has no step '{key[:100]}'{hint or '.'}")


def _check_state(pointer: str, state: str | None, states: Sequence[str]) -> None:
    if state is not None and state not in states:
        raise ValidationFailed("Unknown state.", errors=[FieldError.not_one_of(pointer, states)])


def _place_in(cursor: str) -> int:
    [text] = decode_cursor(cursor, 1)
    if not text.isdecimal() or len(text) > 9:
        raise ValidationFailed("The cursor is not one of this list.")
    return int(text)
