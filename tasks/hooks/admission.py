"""Admission: under overload the sources of low priority are told to come again later, before latency climbs for all.

Overload is what waits: hooks that no worker has claimed for long, journal rows that a sink has not passed for long,
or a circuit that is open. A thread of its own looks once a second, and only where the settings name low-priority
sources; a request reads one attribute.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import lru_cache

from tasks.db.pool import Database
from tasks.db.queries import Queries
from tasks.errors import BridgeError
from tasks.settings import Settings

log = logging.getLogger(__name__)

QUERIES = Queries("tasks.hooks", "admission.sql")
_LOOK_EVERY_S = 1.0
_STATEMENT_MS = 500
_KNOWN_SOURCES = 10_000


class Overloaded(BridgeError):
    """The bridge has more to do than it can; what was sent is not stored, and may be sent again later."""

    code = "LOAD_1"
    status = 503
    title = "Overloaded"
    retry_after_s = 2.0


def _nobody_counts() -> None:
    """Where there is no telemetry."""


class Admission:
    """Says whose hooks are taken now. ``circuit_open``: whether hints to workers are given up for the moment."""

    def __init__(self, db: Database, settings: Settings, circuit_open: Callable[[], bool]) -> None:
        self._db = db
        self._settings = settings
        self._circuit_open = circuit_open
        self._patterns = settings.low_priority_sources
        self._is_low = lru_cache(_KNOWN_SOURCES)(self._matches)
        self._starting = threading.Lock()
        self._pid = 0
        self.overload: str | None = None
        # Called for each refusal: whoever counts them puts its own here.
        self.on_refusal: Callable[[], object] = _nobody_counts

    def admit(self, source: str) -> None:
        """Lets a hook of ``source`` pass.

        Raises:
            Overloaded: the bridge is overloaded, and the source is of low priority.
        """
        if not self._patterns:
            return
        if self._pid != os.getpid():
            self._start()
        if self.overload is not None and self._is_low(source):
            self.on_refusal()
            raise Overloaded(f"The bridge is overloaded ({self.overload}); this source is of low priority.")

    def look(self) -> None:
        """Looks how much waits. PostgreSQL that does not answer says so itself, to everybody."""
        try:
            self._say(self._reason())
        except BridgeError as problem:
            log.warning("overload-not-known", extra={"code": problem.code})

    def _reason(self) -> str | None:
        if self._circuit_open():
            return "the circuit to the workers is open"
        with self._db.transaction(statement_timeout_ms=_STATEMENT_MS) as tx:
            waiting = tx.one(QUERIES["waiting"]) or {"queue_age_s": None, "journal_lag_s": None}
        if (waiting["queue_age_s"] or 0.0) > self._settings.shed_queue_age_s:
            return f"hooks wait for {waiting['queue_age_s']:.0f} s"
        if (waiting["journal_lag_s"] or 0.0) > self._settings.shed_journal_lag_s:
            return f"journal rows wait for {waiting['journal_lag_s']:.0f} s"
        return None

    def _say(self, reason: str | None) -> None:
        if (reason is None) != (self.overload is None):
            if reason is not None:
                log.warning("overload", extra={"reason": reason})
            else:
                log.info("overload-over")
        self.overload = reason

    def _matches(self, source: str) -> bool:
        return any(fnmatchcase(source, pattern) for pattern in self._patterns)

    def _start(self) -> None:
        with self._starting:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(target=self._watch, name="admission", daemon=True).start()

    def _watch(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                log.exception("overload-not-known")
            time.sleep(_LOOK_EVERY_S)
