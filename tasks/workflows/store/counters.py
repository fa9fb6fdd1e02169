"""Counters of steps: what the ends of their parents make of them, and what opens again when a run is retried.

Steps that are completed count down in their children by themselves (``steps``); this is for all other ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.workflows.settling import Change, Children, Counters, End, Settlement
from tasks.workflows.store.steps import GRACE_S, planned_for

QUERIES = Queries("tasks.workflows.store", "counters.sql")


def settle(
    tx: Transaction,
    run_id: UUID,
    children: Children,
    ends: Mapping[int, End],
    unsettled: Sequence[int] = (),
) -> dict[int, str]:
    """Carries these ends down the graph; returns the new state of each step that is pending no more.

    ``unsettled``: steps that have counted all of their parents already, and only need their verdict.
    """
    changes: dict[int, Change] = {}
    if unsettled:
        for place, counters in _lock_pending(tx, run_id, unsettled).items():
            changes[place] = Change(counters, counters.verdict())
        ends = {**ends, **{p: End(c.state) for p, c in changes.items() if c.state in ("skipped", "cancelled")}}
    settlement = Settlement(children, ends)
    wanted = settlement.wanted()
    while wanted:
        settlement.load(_lock_pending(tx, run_id, wanted))
        wanted = settlement.wanted()
    changes |= settlement.changes()
    if not changes:
        return {}
    rows = [_change_row(place, change) for place, change in sorted(changes.items())]
    parameters = {
        "run_id": run_id,
        "rows": orjson.dumps(rows).decode(),
        "places": sorted(changes),
        "grace_s": GRACE_S,
    }
    with planned_for(tx, len(rows)):
        settled = tx.all(QUERIES["settle"], parameters)
    return {row["place"]: row["state"] for row in settled if row["state"] != "pending"}


def reopen(tx: Transaction, run_id: UUID, changes: Mapping[int, Change]) -> None:
    """failed, timed_out, cancelled → pending or ready."""
    rows = orjson.dumps([_change_row(place, change) for place, change in sorted(changes.items())]).decode()
    with planned_for(tx, len(changes)):
        tx.execute(QUERIES["reopen"], {"run_id": run_id, "rows": rows, "grace_s": GRACE_S})


def _lock_pending(tx: Transaction, run_id: UUID, places: Sequence[int]) -> dict[int, Counters]:
    rows = tx.all(QUERIES["lock_pending"], {"run_id": run_id, "places": list(places)})
    return {
        row["place"]: Counters(row["pending"], row["passed"], row["blocked"], row["named"], row["chosen"])
        for row in rows
    }


def _change_row(place: int, change: Change) -> dict[str, Any]:
    counters = change.counters
    return {
        "place": place,
        "state": change.state,
        "pending": counters.pending,
        "passed": counters.passed,
        "blocked": counters.blocked,
        "named": counters.named,
        "chosen": counters.chosen,
    }
