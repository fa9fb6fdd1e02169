"""Attempts that are under way, as rows: whoever asks a model says so before, and the record of an attempt whose
process was killed in it is made by the sweeper.

    begun ──recorded──► over        begun ──its process is gone──► abandoned, over

A row costs its attempt one insert. It is not deleted by who wrote it: with its attempt recorded nobody renews it any
more, and the sweeper takes many such rows at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import orjson

from tasks import correlation
from tasks.db import deadline
from tasks.db.pool import Database
from tasks.db.queries import Queries
from tasks.lab import forms
from tasks.lab.asking import AskRequest, Attempt
from tasks.lab.pulse import Pulse

QUERIES = Queries("tasks.lab", "intents.sql")
ABANDONED = "abandoned"
_DATABASE_S = 5.0
_LIMIT = 500

Keep = Callable[[AskRequest, Attempt], None]


class Intents:
    """The attempts that one process has under way. Safe to share between threads. ``lease_s``: how long a row stays
    without news before its process is taken to be gone."""

    def __init__(self, db: Database, lease_s: float) -> None:
        self._db = db
        self._lease_s = lease_s
        self._every_s = lease_s / 3
        self._pulse = Pulse(self._every_s)
        self._lock = threading.Lock()
        self._open: set[UUID] = set()
        self._renewed_at = 0.0

    @contextmanager
    def of(self, request: AskRequest) -> Iterator[OwnIntents]:
        """Those of one question, for the block; what is open at its end was not recorded, and is left to the
        sweeper."""
        own = OwnIntents(self, request)
        with self._pulse.keeps(self._renew):
            try:
                yield own
            finally:
                self.over(own.begun)

    def begin(self, request: AskRequest, attempt: Attempt) -> None:
        """Makes it durable that ``attempt`` is being made. Raises DatabaseUnavailable, DatabaseBusy."""
        values = {
            "execution_id": attempt.execution_id,
            "record": orjson.dumps(forms.attempt_row(attempt)).decode(),
            "task_type": request.task_type,
            "metadata": orjson.dumps(dict(request.metadata)).decode(),
            "correlation_id": correlation.current(),
            "lease_s": self._lease_s,
        }
        with deadline.within(_DATABASE_S), self._db.autocommit() as tx:
            tx.execute(QUERIES.prepared("begin"), values)
        with self._lock:
            self._open.add(attempt.execution_id)

    def over(self, ids: set[UUID]) -> None:
        """These are recorded, or never will be by this process."""
        with self._lock:
            self._open -= ids

    def _renew(self) -> None:
        """Renews all of this process at once, whichever question asks for it."""
        with self._lock:
            now = time.monotonic()
            if now - self._renewed_at < self._every_s / 2 or not self._open:
                return
            self._renewed_at = now
            ids = list(self._open)
        with deadline.within(_DATABASE_S), self._db.autocommit() as tx:
            tx.execute(QUERIES["renew"], {"ids": ids, "lease_s": self._lease_s})

    def sweep(self, keep: Keep) -> int:
        """Has ``keep`` record the attempts whose process is gone, and forgets all that are over; returns how many
        were abandoned. Any number of sweepers may be at it. Raises as ``keep``."""
        abandoned, found = 0, _LIMIT
        while found >= _LIMIT:
            with self._db.transaction() as tx:
                rows = tx.all(QUERIES["over"], {"limit": _LIMIT, "lease_s": self._lease_s})
                for row in rows:
                    if not row["recorded"]:
                        abandoned += 1
                        request = AskRequest("", task_type=row["task_type"], metadata=row["metadata"])
                        with correlation.bind(row["correlation_id"]):
                            keep(request, _abandoned(forms.attempt_of(row["record"]), row["seen_at"]))
                # Last: who dies before has recorded, and recording again changes nothing.
                tx.execute(QUERIES["forget"], {"ids": [row["execution_id"] for row in rows]})
            found = len(rows)
        return abandoned


class OwnIntents:
    """The attempts of one question."""

    def __init__(self, every: Intents, request: AskRequest) -> None:
        self._every = every
        self._request = request
        self.begun: set[UUID] = set()

    def begin(self, attempt: Attempt) -> None:
        """As ``Intents.begin``."""
        self._every.begin(self._request, attempt)
        self.begun.add(attempt.execution_id)

    def recorded(self, attempt: Attempt) -> None:
        """Its record is durable."""
        self._every.over({attempt.execution_id})


def _abandoned(attempt: Attempt, seen_at: datetime) -> Attempt:
    """The attempt as far as anybody knows: until its process was last heard of."""
    ended_at = max(seen_at, attempt.started_at)
    return replace(
        attempt,
        completed_at=ended_at,
        latency_ms=(ended_at - attempt.started_at).total_seconds() * 1000,
        success=False,
        error_type=ABANDONED,
        error_message="the process that asked died in this attempt",
    )
