"""What callers may do with schedules: make, look at, change, pause, resume and remove them, and run one by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tasks.db.pool import Database, Transaction
from tasks.errors import Conflict, FieldError, NotFound, ValidationFailed
from tasks.ids import new_id
from tasks.paging import Page, checked_limit, decode_cursor, encode_cursor
from tasks.workflows.schedules import store
from tasks.workflows.schedules.cadence import upcoming, zone_of
from tasks.workflows.schedules.firing import submission_of, tick_values
from tasks.workflows.schedules.model import STATES, ScheduleSpec, due_at
from tasks.workflows.schedules.store import Row, Tick
from tasks.workflows.service import WorkflowService
from tasks.workflows.submitting import Submitted
from tasks.workflows.target import FIELDS, split

_SHOWN_UPCOMING = 5
_SHOWN_RECENT = 20


class ScheduleService:
    """Schedules behind HTTP and the command line. ``look`` asks a worker to look at the clock; it may fail."""

    def __init__(self, db: Database, workflows: WorkflowService, look: Callable[[], object]) -> None:
        self._db = db
        self._workflows = workflows
        self._look = look

    def create(self, given: Mapping[str, Any], by: str) -> Row:
        """Makes a schedule of the fields of ``ScheduleSpec`` and ``Target``, active from now on, and shows it.

        Raises:
            ValidationFailed: with everything that is wrong.
            Conflict: there is one of this name.
        """
        spec = _spec_of(given)
        schedule_id = new_id()
        with self._db.transaction() as tx:
            _refuse([*spec.mistakes(), *spec.target.unknown(tx)])
            now: datetime = (tx.one(store.QUERIES["now"]) or {})["now"]
            clock = _clock_of(schedule_id, spec, now, now)
            if clock["state"] == "ended":
                _refuse([FieldError("/ends_at", "leaves no tick to come")])
            row = {**spec.row(), **clock, "id": schedule_id, "created_at": now, "created_by": by}
            made = store.insert(tx, row)
            if made is None:
                raise Conflict(f"There is a schedule {spec.name!r} already.")
        self._look()
        return _shown(made)

    def list(
        self, *, state: str | None = None, workflow: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page:
        """Schedules by name. Raises ValidationFailed."""
        if state is not None and state not in STATES:
            _refuse([FieldError.not_one_of("/state", STATES)])
        after = None if cursor is None else decode_cursor(cursor, 1)[0]
        with self._db.transaction() as tx:
            found = tx.all(
                store.QUERIES["list"],
                {"state": state, "workflow": workflow, "after": after, "limit": checked_limit(limit) + 1},
            )
        page = [_shown(row) for row in found[:limit]]
        return Page(page, encode_cursor(page[-1]["name"]) if len(found) > limit else None)

    def get(self, which: UUID | str) -> Row:
        """One by id or name, with its next five ticks and what became of its last twenty. Raises NotFound."""
        with self._db.transaction() as tx:
            row = _found(store.get(tx, which), which)
            recent = store.recent_ticks(tx, row["id"], _SHOWN_RECENT)
        return {**_shown(row), "upcoming": _upcoming(row), "recent": recent}

    def change(self, which: UUID | str, given: Mapping[str, Any], by: str) -> Row:
        """Changes the fields that are given. Raises as ``create``, and NotFound."""
        with self._db.transaction() as tx:
            row = _found(store.lock(tx, which), which)
            spec = _spec_of({**_fields(row), **given})
            _refuse([*spec.mistakes(), *spec.target.unknown(tx)])
            other = store.get(tx, spec.name)
            if other is not None and other["id"] != row["id"]:
                raise Conflict(f"There is a schedule {spec.name!r} already.")
            changed = self._write(tx, row, spec, "changed", by, paused=row["state"] == "paused")
        self._look()
        return _shown(changed)

    def pause(self, which: UUID | str, by: str) -> Row:
        """active → paused: its ticks pass by, and nobody misses them. Raises NotFound, Conflict."""
        with self._db.transaction() as tx:
            row = _found(store.lock(tx, which), which)
            _only_in(row, "active", "paused")
            return _shown(self._write(tx, row, ScheduleSpec.of_row(row), "paused", by, paused=True))

    def resume(self, which: UUID | str, by: str) -> Row:
        """paused → active, from the next tick on. Raises NotFound, Conflict."""
        with self._db.transaction() as tx:
            row = _found(store.lock(tx, which), which)
            _only_in(row, "paused", "resumed")
            resumed = self._write(tx, row, ScheduleSpec.of_row(row), "resumed", by, paused=False)
        self._look()
        return _shown(resumed)

    def remove(self, which: UUID | str, by: str) -> Row:
        """Removes it, in any state; its runs go on. Returns what it was. Raises NotFound."""
        with self._db.transaction() as tx:
            row = _found(store.lock(tx, which), which)
            store.delete(tx, row["id"], by)
        return _shown(row)

    def trigger(self, which: UUID | str, key: str | None = None) -> Submitted:
        """Begins a run now, beside the clock and in any state; a ``key`` that was used gives that run again.

        Raises:
            NotFound: no such schedule, or its workflow is gone.
            ValidationFailed: the input does not fit the workflow.
        """
        with self._db.transaction() as tx:
            row = _found(store.lock(tx, which), which)
            spec = ScheduleSpec.of_row(row)
            values = tick_values(row["id"], spec, row["now"], previous=row["last_tick"], manual=True)
            run = self._workflows.submit(submission_of(row["id"], spec, values, f"manual/{key or new_id()}"), tx)
            if not run.duplicate:
                tick = Tick(row["id"], row["now"], "started", run.run_id, manual=True)
                store.start_by_hand(tx, row["name"], tick)
        self._workflows.hint({run.run_id: run.priority})
        return run

    def _write(self, tx: Transaction, row: Row, spec: ScheduleSpec, action: str, by: str, *, paused: bool) -> Row:
        clock = _clock_of(row["id"], spec, row["created_at"], row["now"])
        if row["state"] == "active" and not paused and _same_clock(row, spec):
            clock = {name: row[name] for name in clock}
        if paused:
            clock = {"state": "paused", "next_tick": None, "due_at": None}
        return store.update(tx, {**spec.row(), **clock, "id": row["id"], "version": row["version"]}, action, by)


def _spec_of(given: Mapping[str, Any]) -> ScheduleSpec:
    target, own = split(given)
    return ScheduleSpec(**own, target=target)


def _fields(row: Row) -> dict[str, Any]:
    spec = ScheduleSpec.of_row(row)
    own = {name: getattr(spec, name) for name in ScheduleSpec.__dataclass_fields__ if name != "target"}
    return own | {name: getattr(spec.target, name) for name in FIELDS}


def _clock_of(schedule_id: UUID, spec: ScheduleSpec, created_at: datetime, now: datetime) -> dict[str, Any]:
    tick = spec.cadence(created_at).after(now)
    if tick is None:
        return {"state": "ended", "next_tick": None, "due_at": None}
    return {"state": "active", "next_tick": tick, "due_at": due_at(schedule_id, spec.jitter_s, tick)}


def _same_clock(row: Row, spec: ScheduleSpec) -> bool:
    """Whether the ticks are as before: then one that has come already is not to be lost by a change of the rest."""
    return all(
        row[name] == getattr(spec, name)
        for name in ("cron", "every_s", "timezone", "starts_at", "ends_at", "jitter_s")
    )


def _shown(row: Row) -> Row:
    hidden = ("due_at", "now")
    return {name: value for name, value in row.items() if name not in hidden}


def _upcoming(row: Row) -> list[dict[str, Any]]:
    if row["next_tick"] is None:
        return []
    spec = ScheduleSpec.of_row(row)
    first = row["next_tick"]
    ticks = [first, *upcoming(spec.cadence(row["created_at"]), first, _SHOWN_UPCOMING - 1)]
    zone = zone_of(spec.timezone) or UTC
    return [{"tick": tick, "local": tick.astimezone(zone).isoformat()} for tick in ticks]


def _found(row: Row | None, which: UUID | str) -> Row:
    if row is None:
        raise NotFound(f"There is no schedule {str(which)[:100]!r}.")
    return row


def _only_in(row: Row, state: str, act: str) -> None:
    if row["state"] != state:
        raise Conflict(f"The schedule is {row['state']}; only one that is {state} can be {act}.")


def _refuse(mistakes: list[FieldError]) -> None:
    if mistakes:
        raise ValidationFailed("The schedule is not valid; see errors.", errors=mistakes)
