"""The endpoints as one process sees them: a moment old at most, so that asking a model costs no query more.

What a call tells about its endpoint goes straight into the rows (``endpoints``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.db import deadline
from tasks.db.pool import Database, Transaction
from tasks.lab import endpoints
from tasks.lab.endpoints import CircuitRules
from tasks.lab.errors import AttemptFailed, tells_against_endpoint
from tasks.lab.model import Endpoint

log = logging.getLogger(__name__)

_FRESH_S = 1.0
_DATABASE_S = 5.0
_SHORTEST_PAUSE_S = 1.0
_SAYS_NOTHING = frozenset({"timed_out", "too_slow", "cancelled"})


class Circuits:
    """Endpoints with their circuits. Safe to share between threads."""

    def __init__(self, db: Database, rules: CircuitRules) -> None:
        self._db = db
        self._rules = rules
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._known: list[Endpoint] = []

    def endpoints(self) -> list[Endpoint]:
        """All endpoints, as they were a second ago or later. Raises DatabaseUnavailable, DatabaseBusy."""
        with self._lock:
            if time.monotonic() - self._read_at > _FRESH_S:
                with self._transaction() as tx:
                    self._known = endpoints.every(tx)
                self._read_at = time.monotonic()
            return self._known

    def forget(self) -> None:
        """Has the next question read the rows again."""
        with self._lock:
            self._read_at = float("-inf")

    def admits(self, endpoint: Endpoint) -> bool:
        """Whether a call may go through. One whose circuit was open for its time lets one caller through, to try."""
        if endpoint.circuit == "closed":
            return True
        with self._transaction() as tx:
            admitted = endpoints.begin_trial(tx, endpoint.id, self._rules)
        self.forget()
        return admitted

    def succeeded(self, endpoint: Endpoint) -> None:
        """A call came back with an answer."""
        if endpoint.circuit == "closed" and not endpoint.failures:
            return
        with self._transaction() as tx:
            closed = endpoints.count_success(tx, endpoint.id)
        self.forget()
        if closed:
            log.info("lab-circuit-closed", extra={"endpoint": endpoint.name})

    def failed(self, endpoint: Endpoint, failure: AttemptFailed) -> None:
        """A call failed. What is the question's fault says nothing about the endpoint, or that it is well."""
        if failure.error_type == "rate_limited":
            with self._transaction() as tx:
                endpoints.pause(tx, endpoint.id, max(_SHORTEST_PAUSE_S, failure.retry_after_s or 0.0))
            self.forget()
        elif tells_against_endpoint(failure.error_type):
            with self._transaction() as tx:
                opened = endpoints.count_failure(tx, endpoint.id, self._rules)
            self.forget()
            if opened:
                extra = {"endpoint": endpoint.name, "error_type": failure.error_type}
                log.warning("lab-circuit-opened", extra=extra)
        elif failure.error_type not in _SAYS_NOTHING:
            self.succeeded(endpoint)

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        with deadline.within(_DATABASE_S), self._db.transaction() as tx:
            yield tx
