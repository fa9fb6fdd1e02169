"""The endpoints' table: the only place that changes an endpoint, its state or its circuit, each with its journal row.

Every function works in the caller's transaction. The circuit lives in the row, and neither in Redis nor in a process:
all processes see one circuit, it survives all of them, exactly one caller gets to try a half-open one, and only what
changes it writes. (pybreaker holds a lock while the guarded call runs, so the calls of one model would stand in
line.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.ids import new_id
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.lab.model import Endpoint, Offered

QUERIES = Queries("tasks.lab", "endpoints.sql")
AGGREGATE = "lab-endpoint"
CHANGED = "lab-endpoint-changed"
_ERROR_LIMIT = 500


@dataclass(frozen=True)
class CircuitRules:
    """How many failures in a row open a circuit; for how long, at first and at most; how long a trial may take."""

    threshold: int = 5
    base_s: float = 10.0
    longest_s: float = 300.0
    trial_s: float = 60.0


def add(tx: Transaction, endpoint: Endpoint) -> bool:
    """Stores a new endpoint; False where the name is taken."""
    values = {name: getattr(endpoint, name) for name in _SETTINGS}
    values |= {"models": list(endpoint.models), "model_tiers": orjson.dumps(dict(endpoint.model_tiers)).decode()}
    row = tx.one(QUERIES["add"], values)
    if row is None:
        return False
    told = {"name": endpoint.name, "kind": endpoint.kind, "tier": endpoint.tier}
    append(tx, [_event(row["id"], row["version"], {**told, "change": "added"})])
    return True


def remove(tx: Transaction, name: str) -> bool:
    """Removes an endpoint; False where there is none of this name."""
    row = tx.one(QUERIES["remove"], {"name": name})
    if row is not None:
        append(tx, [_event(row["id"], row["version"], {"name": name, "change": "removed"})])
    return row is not None


def every(tx: Transaction) -> list[Endpoint]:
    """All endpoints, by name."""
    return [_endpoint(row) for row in tx.all(QUERIES["all"])]


def shown(tx: Transaction) -> list[dict[str, Any]]:
    """All endpoints as rows to be shown, by name."""
    return tx.all(QUERIES["shown"])


def offered(tx: Transaction) -> list[dict[str, Any]]:
    """What each endpoint offered when it was last asked, with details."""
    return tx.all(QUERIES["offered"])


def count_failure(tx: Transaction, endpoint_id: UUID, rules: CircuitRules) -> bool:
    """Counts a failed call; True where that opened the circuit."""
    row = tx.one(
        QUERIES["count_failure"],
        {
            "id": endpoint_id,
            "threshold": rules.threshold,
            "base_s": rules.base_s,
            "longest_s": rules.longest_s,
        },
    )
    if row is None or row["circuit"] != "open":
        return False
    until = row["circuit_until"].isoformat()
    append(tx, [_circuit_event(row, {"until": until})])
    return True


def count_success(tx: Transaction, endpoint_id: UUID) -> bool:
    """Forgets earlier failures; True where that closed the circuit."""
    row = tx.one(QUERIES["count_success"], {"id": endpoint_id})
    if row is None or row["old_circuit"] == "closed":
        return False
    append(tx, [_circuit_event(row, {"from": row["old_circuit"]})])
    return True


def begin_trial(tx: Transaction, endpoint_id: UUID, rules: CircuitRules) -> bool:
    """Whether the caller is the one that may try an open circuit whose time is over."""
    row = tx.one(QUERIES["begin_trial"], {"id": endpoint_id, "trial_s": rules.trial_s})
    if row is not None:
        append(tx, [_circuit_event(row, {})])
    return row is not None


def pause(tx: Transaction, endpoint_id: UUID, pause_s: float) -> None:
    """Leaves an endpoint alone for a while."""
    tx.execute(QUERIES["pause"], {"id": endpoint_id, "pause_s": pause_s})


def claim_checks(tx: Transaction, interval_s: float, *, at_once: bool = False) -> list[Endpoint]:
    """The endpoints whose health check is due (``at_once``: all), for the caller to check."""
    return [_endpoint(row) for row in tx.all(QUERIES["claim_checks"], {"interval_s": interval_s, "at_once": at_once})]


def note_check(
    tx: Transaction, endpoint_id: UUID, latency_ms: float, found: Sequence[Offered] | None, error: str | None
) -> None:
    """Keeps what a check found: the models, or the error (``found`` is None then, and the models stay)."""
    state = "unhealthy" if found is None else "healthy"
    cleaned = None if error is None else error.replace("\x00", "")[:_ERROR_LIMIT]
    row = tx.one(
        QUERIES["note_check"], {"id": endpoint_id, "state": state, "latency_ms": latency_ms, "error": cleaned}
    )
    if row is None:
        return
    if found is not None:
        tx.execute(QUERIES["forget_models"], {"endpoint_id": endpoint_id, "names": [one.name for one in found]})
        rows = [{"model": name, "details": dict(one.details)} for name, one in {o.name: o for o in found}.items()]
        tx.execute(QUERIES["note_models"], {"endpoint_id": endpoint_id, "rows": orjson.dumps(rows).decode()})
    if row["old_state"] != state:
        payload = {"name": row["name"], "change": "state", "from": row["old_state"], "state": state}
        append(tx, [_event(endpoint_id, row["version"], payload | ({"error": cleaned} if cleaned else {}))])


_SETTINGS = tuple(
    field.name
    for field in fields(Endpoint)
    if field.name not in ("state", "circuit", "failures", "circuit_until", "paused_until", "offered")
)


def _endpoint(row: Mapping[str, Any]) -> Endpoint:
    values = dict(row)
    values["models"] = tuple(values["models"])
    values["offered"] = tuple(values.get("offered") or ())
    return Endpoint(**values)


def _circuit_event(row: Mapping[str, Any], more: Mapping[str, Any]) -> JournalEvent:
    payload = {"name": row["name"], "change": "circuit", "circuit": row["circuit"], **more}
    return _event(row["id"], row["version"], payload)


def _event(endpoint_id: UUID, version: int, payload: Mapping[str, Any]) -> JournalEvent:
    return JournalEvent(AGGREGATE, str(endpoint_id), version, CHANGED, payload, None, None, new_id())
