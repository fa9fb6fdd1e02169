"""Rows of steps: claimed under a lease, ended under its token, together with the counters of their children.

What goes further down the graph is settled in ``counters``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.workflows.settling import Children, End
from tasks.workflows.states import STEP

QUERIES = Queries("tasks.workflows.store", "steps.sql")
# How long the clock waits before it makes good a message that may have been lost.
GRACE_S = 5.0
ERROR_LIMIT = 4000
# Of more rows in one statement its plan is made anew, for that many; it needs a transaction.
MANY = 500


class LeaseLost(Exception):
    """The step is not held under this token any more: it was called off, or its lease ended and another has it."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A step that this worker holds; ``attempt`` counts from 1, ``compensates`` is the place of what it undoes."""

    place: int
    attempt: int
    compensates: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A step that succeeded: its output as JSON text, and its arguments where they were rendered."""

    place: int
    output: bytes
    arguments: bytes | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """What came of it: ``ready`` below, ``next`` claimed at once, ``unsettled`` still to be settled in the same
    transaction, ``open_leaves`` where that changed (0: the run can end)."""

    ready: tuple[int, ...]
    next: int | None
    unsettled: tuple[int, ...]
    open_leaves: int | None
    run_state: str


@dataclass(frozen=True, slots=True)
class Ways:
    """Where completion goes: the graph by place, which children may be claimed at once, and under which token."""

    children: Children
    candidates: Sequence[int]
    next_token: UUID
    lease_s: float


def insert(tx: Transaction, run_id: UUID, rows: str, *, begun: bool) -> None:
    """Adds the steps of a run; ``rows``: the JSON text of ``place key kind pending queue priority`` of each."""
    tx.execute(QUERIES.prepared("insert"), {"run_id": run_id, "rows": rows, "begun": begun, "grace_s": GRACE_S})


def claim(
    tx: Transaction, run_id: UUID, places: Sequence[int], token: UUID, lease_s: float, *, limited: bool = False
) -> list[Claimed]:
    """ready → running, of these places what is ready now. ``limited``: the run allows only so many at once, and one
    at most is claimed."""
    rows = tx.all(
        QUERIES.prepared("claim_limited" if limited else "claim"),
        {
            "run_id": run_id,
            "places": list(places),
            "token": token,
            "lease_s": lease_s,
            "bundled": len(places) > 1 and not limited,
        },
    )
    return [Claimed(row["place"], row["attempt"], row["compensates"]) for row in rows]


def renew(tx: Transaction, run_id: UUID, places: Sequence[int], token: UUID, lease_s: float) -> int:
    """Holds on for ``lease_s`` more; returns how many of them are still held."""
    parameters = {"run_id": run_id, "places": list(places), "token": token, "lease_s": lease_s}
    return tx.execute(QUERIES.prepared("renew"), parameters)


def release(tx: Transaction, run_id: UUID, places: Sequence[int], token: UUID) -> None:
    """running → ready, of what was claimed with others and not begun; the attempt does not count, and the clock sends
    it on its way."""
    tx.execute(QUERIES["release"], {"run_id": run_id, "places": list(places), "token": token})


def complete(
    tx: Transaction, run_id: UUID, done: Sequence[Done], token: UUID, ways: Ways, choice: End | None = None
) -> Completed:
    """running → succeeded, all of them or none; ``choice``: of one branch, what it names and chose.

    Where children come out ``unsettled``, the caller goes on with ``counters.settle`` in the same transaction.

    Raises:
        LeaseLost: one of them is not held under the token.
    """
    below = _below([one.place for one in done], ways.children, choice)
    parameters = {
        "run_id": run_id,
        "rows": orjson.dumps([_done_row(one) for one in done]).decode(),
        "below": orjson.dumps(below).decode(),
        "count": len(done),
        "token": token,
        "candidates": list(ways.candidates),
        "next_token": ways.next_token,
        "lease_s": ways.lease_s,
        "grace_s": GRACE_S,
        "leaves": sum(not ways.children[one.place] for one in done),
    }
    with planned_for(tx, len(below)):
        row = tx.one(QUERIES["complete"] if len(below) > MANY else QUERIES.prepared("complete"), parameters)
    if row is None or row["done"] != len(done):
        raise LeaseLost
    return Completed(
        tuple(row["ready"]), row["next"], tuple(row["unsettled"]), row["open_leaves"], row["run_state"] or ""
    )


def advance(
    tx: Transaction, run_id: UUID, done: Done, token: UUID, child: int, next_token: UUID | None, lease_s: float
) -> Completed:
    """As ``complete``, for one step whose only child waits for it alone. The child is claimed at once where there is
    a ``next_token``.

    Raises:
        LeaseLost: the step is not held under the token.
    """
    row = tx.one(
        QUERIES.prepared("advance"),
        {
            "run_id": run_id,
            "place": done.place,
            "output": done.output.decode(),
            "arguments": None if done.arguments is None else done.arguments.decode(),
            "token": token,
            "child": child,
            "next_token": next_token,
            "due_s": GRACE_S if next_token is None else lease_s,
        },
    )
    if row is None or not row["done"]:
        raise LeaseLost
    ready = (child,) if row["child"] == "ready" else ()
    return Completed(ready, child if row["child"] == "running" else None, (), None, row["run_state"] or "")


@contextmanager
def planned_for(tx: Transaction, count: int) -> Iterator[None]:
    """Around a statement with so many rows in its parameters, of which PostgreSQL guesses that they are few: it would
    go through all of them for each. More than ``MANY`` need a transaction."""
    if count <= MANY:
        yield
        return
    tx.execute("SET LOCAL enable_nestloop = off")
    yield
    tx.execute("SET LOCAL enable_nestloop TO DEFAULT")


def change(
    tx: Transaction,
    run_id: UUID,
    place: int,
    state: str,
    *,
    token: UUID | None = None,
    sources: Sequence[str] | None = None,
    delay_s: float | None = None,
    waits_for: str | None = None,
    signal_name: str | None = None,
    items_open: int | None = None,
    child_run_id: UUID | None = None,
    output: bytes | None = None,
    arguments: bytes | None = None,
    error_code: str | None = None,
    error: str | None = None,
    reason: str | None = None,
    uncounted: str = "never",
    overdue: bool = False,
) -> str | None:
    """Brings one step into ``state`` from one that the chart allows (or of ``sources``), under its token where one is
    given; returns the state before, or None where it is elsewhere by now.

    ``delay_s``: when the clock looks at it. ``uncounted``: whether the attempt is not to count, ``never``,
    ``always``, or where it was one of a ``bundled`` claim. ``overdue``: only where the clock is to look at it by now.
    """
    row = tx.one(
        QUERIES.prepared("change"),
        {
            "run_id": run_id,
            "place": place,
            "state": state,
            "token": token,
            "from": sorted(sources if sources is not None else STEP.sources(state)),
            "terminal": STEP.is_terminal(state),
            "delay_s": delay_s,
            "waits_for": waits_for,
            "signal_name": signal_name,
            "items_open": items_open,
            "child_run_id": child_run_id,
            "output": None if output is None else output.decode(),
            "arguments": None if arguments is None else arguments.decode(),
            "error_code": error_code,
            "error": None if error is None else error[:ERROR_LIMIT],
            "reason": reason,
            "uncounted": uncounted,
            "overdue": overdue,
        },
    )
    return None if row is None else str(row["old"])


def cancel_open(tx: Transaction, run_id: UUID, reason: str, error_code: str | None = None) -> int:
    """Calls off every step that has not ended; returns how many. Before it nothing else of the run is locked."""
    row = tx.one(QUERIES["cancel_open"], {"run_id": run_id, "reason": reason, "error_code": error_code})
    return 0 if row is None else int(row["count"])


def results(tx: Transaction, run_id: UUID, places: Sequence[int]) -> dict[int, tuple[str, Any]]:
    """State and output of these steps, by place."""
    rows = tx.each(QUERIES.prepared("results"), {"run_id": run_id, "places": list(places)})
    return {row["place"]: (row["state"], row["output"]) for row in rows}


def ready(tx: Transaction, run_id: UUID, limit: int) -> list[int]:
    """The places that wait for a worker, of a run that goes on; the most urgent first."""
    return [row["place"] for row in tx.each(QUERIES.prepared("ready"), {"run_id": run_id, "limit": limit})]


def postpone(tx: Transaction, which: Sequence[tuple[UUID, int]], delay_s: float) -> None:
    """The clock looks at these steps, those of them that are ready, only after ``delay_s``."""
    parameters = {"run_ids": [run_id for run_id, _ in which], "places": [place for _, place in which]}
    tx.execute(QUERIES["postpone"], {**parameters, "delay_s": delay_s})


def _below(places: Sequence[int], children: Children, choice: End | None) -> list[dict[str, int]]:
    ended: dict[int, int] = {}
    for place in places:
        for child in children[place]:
            ended[child] = ended.get(child, 0) + 1
    named = choice.named if choice else frozenset()
    chosen = choice.chosen if choice else frozenset()
    return [
        {"place": child, "ended": count, "named": int(child in named), "chosen": int(child in chosen)}
        for child, count in sorted(ended.items())
    ]


def _done_row(done: Done) -> dict[str, Any]:
    arguments = None if done.arguments is None else orjson.Fragment(done.arguments)
    return {"place": done.place, "output": orjson.Fragment(done.output), "arguments": arguments}
