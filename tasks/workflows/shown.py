"""How what is stored of a run is shown: large values cut, attempts told from the journal. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import orjson

from tasks.workflows.states import STEP

# Characters of a value's JSON text that are shown in lists, and of one step or run.
CUT_IN_LISTS = 2_000
CUT = 65_536
WHOLE = 2**30
_BEGINS = 200
# A worker that does not come back: its attempt ended when the next one began.
_LEFT = "lease_expired"


def with_values(row: Mapping[str, Any], cut: int, *fields: str) -> dict[str, Any]:
    """The row with the values of ``fields``, which it holds as JSON texts, of at most ``cut`` characters.

    A longer one is ``{"$cut": true, "bytes": …, "begins": …}`` in its place; ``cut`` names those fields, so that a
    value which only looks like a mark is told from one.
    """
    shown = {name: value for name, value in row.items() if not name.endswith("_bytes")}
    shortened = []
    for field in fields:
        text = row[field]
        if text is None:
            continue
        if len(text) <= cut:
            shown[field] = orjson.loads(text)
        else:
            shown[field] = {"$cut": True, "bytes": row[f"{field}_bytes"], "begins": text[:_BEGINS]}
            shortened.append(field)
    return {**shown, "cut": shortened}


def attempts(journal: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The attempts that a step's journal tells of, oldest first.

    ``outcome`` is the state that the attempt led to, ``released`` where a worker gave it back, ``lease_expired``
    where none was heard of again, and None while it goes on. A retry of the run counts attempts from 1 again.
    """
    found: list[dict[str, Any]] = []
    for row in journal:
        payload = row["payload"]
        state = payload.get("state")
        last = found[-1] if found else None
        if state == "running":
            if last is None or last["outcome"] is not None or last["attempt"] != payload.get("attempt"):
                found.append(_begun(row))
        elif last is None or last["outcome"] is not None or state == "waiting":
            continue
        elif state == "ready":
            last.update(finished_at=row["recorded_at"], outcome="released")
        elif state == "retrying" or (state in STEP.states and STEP.is_terminal(state)):
            last.update(
                finished_at=row["recorded_at"],
                outcome=state,
                error_code=payload.get("error_code"),
                error=payload.get("error"),
            )
    for earlier, later in pairwise(found):
        if earlier["outcome"] is None:
            earlier.update(finished_at=later["started_at"], outcome=_LEFT)
    return found


def _begun(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "attempt": row["payload"].get("attempt"),
        "started_at": row["recorded_at"],
        "finished_at": None,
        "outcome": None,
        "error_code": None,
        "error": None,
    }
