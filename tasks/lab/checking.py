"""Health checks: asks each endpoint what it offers, all of them side by side, and keeps what came of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tasks.db.pool import Database
from tasks.lab import endpoints
from tasks.lab.attempting import MODELS_OF, server_of
from tasks.lab.errors import AttemptFailed
from tasks.lab.model import Candidate, Endpoint, Offered
from tasks.lab.protocols.wire import Clock

log = logging.getLogger(__name__)

_CHECK_S = 5.0
_AT_ONCE = 16
_LISTING_BYTES = 4 << 20
_MOST_MODELS = 5_000


@dataclass(frozen=True)
class Found:
    """What a check found: the models, or the error."""

    endpoint: Endpoint
    latency_ms: float
    models: Sequence[Offered] | None
    error: str | None


def check_due(db: Database, interval_s: float, *, at_once: bool = False) -> list[Found]:
    """Checks the endpoints that are due (``at_once``: all of them); returns what it found.

    Any number of callers may do so: each endpoint is checked by one of them.
    """
    with db.transaction() as tx:
        due = endpoints.claim_checks(tx, interval_s, at_once=at_once)
    if not due:
        return []
    with ThreadPoolExecutor(min(_AT_ONCE, len(due)), thread_name_prefix="lab-check") as pool:
        found = list(pool.map(look, due))
    for one in found:
        with db.transaction() as tx:
            endpoints.note_check(tx, one.endpoint.id, one.latency_ms, one.models, one.error)
    return found


def look(endpoint: Endpoint) -> Found:
    """Asks one endpoint for its models, for 5 s at most."""
    clock = Clock(_CHECK_S, _CHECK_S)
    try:
        server = server_of(Candidate(endpoint, ""), _LISTING_BYTES)
        models = MODELS_OF[endpoint.kind](server, clock)[:_MOST_MODELS]
    except AttemptFailed as failure:
        log.warning("lab-endpoint-unhealthy", extra={"endpoint": endpoint.name, "error_type": failure.error_type})
        return Found(endpoint, clock.ms_since_start(), None, f"{failure.error_type}: {failure.message}")
    return Found(endpoint, clock.ms_since_start(), models, None)
