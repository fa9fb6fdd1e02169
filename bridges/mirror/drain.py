"""Drains the state stream into ``task_states`` and the journal, each transition exactly once.

The place in the stream is stored with the rows, in one transaction, on the connection that holds the mirror's
advisory lock: whoever lost the lock can't commit. Entries after that place are new. Those up to it were seen, unless
Redis lost the stream and its clock went back; and what a writer wrote twice stands in two places. So for these the
journal is asked.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import psycopg2
import redis

from bridges.mirror.entries import Entries, Entry, place_of
from tasks.db.pool import Session, Transaction
from tasks.db.queries import Queries
from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.queue import shutdown
from tasks.queue.nudges import tell_of_journal
from tasks.runtime import Runtime
from tasks.states import store
from tasks.states.model import Transition

log = logging.getLogger(__name__)

QUERIES = Queries("bridges.mirror", "mirror.sql")
BATCH = 1000
_BLOCK_MS = 500
_GATHER_S = 0.05
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 0.5


@dataclass
class Outcome:
    """What a slice of draining did. ``held``: it had the lock, so a successor should go on."""

    held: bool = False
    transitions: int = 0
    malformed: int = 0
    repeated: int = 0


class Outage:
    """Says once that a server is away, and waits longer and longer."""

    def __init__(self) -> None:
        self._pause_s = 0.0

    def wait(self, problem: Exception, deadline: float, stop: Callable[[], bool]) -> None:
        """Waits a while, at most until ``deadline``, or until ``stop``."""
        if not self._pause_s:
            log.warning("mirror-waits", extra={"error": repr(problem)})
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2 or _FIRST_PAUSE_S)
        until = min(deadline, time.monotonic() + self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        while time.monotonic() < until and not stop():
            time.sleep(0.05)

    def over(self) -> None:
        """The server answers again."""
        if self._pause_s:
            log.info("mirror-goes-on")
        self._pause_s = 0.0


class Drain:
    """The drain of one process. ``stop`` says that the worker is going down; ``outage`` is kept between slices."""

    def __init__(
        self, runtime: Runtime, outage: Outage | None = None, stop: Callable[[], bool] = shutdown.requested
    ) -> None:
        self._db = runtime.db
        self._redis = runtime.redis()
        self._entries = Entries(self._redis)
        self._outage = outage or Outage()
        self._stop = stop

    def run(self, seconds: float) -> Outcome:
        """Drains for up to ``seconds``, waiting for more; returns at once where another drain holds the lock.

        While Redis or PostgreSQL is away it waits, and says so once; nothing is lost and nothing happens twice.
        """
        outcome = Outcome()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._stop():
            try:
                if not self._run_in_session(deadline, outcome):
                    break
            except (DatabaseUnavailable, DatabaseBusy, redis.RedisError) as problem:
                self._outage.wait(problem, deadline, self._stop)
        return outcome

    def _run_in_session(self, deadline: float, outcome: Outcome) -> bool:
        with self._db.session() as session:
            if session.one(QUERIES["lock"]) != {"held": True}:
                return False
            outcome.held = True
            self._entries.prepare()
            while batch := self._entries.unfinished(BATCH):
                self._deal_with(session, batch, outcome)
            while time.monotonic() < deadline and not self._stop():
                batch = self._entries.fresh(BATCH, _BLOCK_MS)
                self._deal_with(session, batch, outcome)
                self._outage.over()
                if 0 < len(batch) < BATCH:
                    # Few came: let more gather, since a batch of many costs little more than one of few.
                    time.sleep(_GATHER_S)
        return True

    def _deal_with(self, session: Session, batch: Sequence[Entry], outcome: Outcome) -> None:
        if not batch:
            return
        malformed = [entry for entry in batch if entry.transition is None]
        try:
            self._store(session, batch, len(malformed), outcome)
        except (psycopg2.DataError, psycopg2.IntegrityError, ValueError):
            # One of them is what PostgreSQL refuses: find it.
            for entry in batch:
                malformed.extend(self._store_alone(session, entry, outcome))
        aside = {entry.id for entry in malformed}
        # First what makes room: a full Redis would not take what is set aside.
        self._entries.remove(entry for entry in batch if entry.id not in aside)
        if malformed:
            self._entries.bury([entry for entry in malformed if entry.raw])
            outcome.malformed += len(malformed)
            log.error(
                "mirror-entries-malformed",
                extra={"count": len(malformed), "first": malformed[0].id.decode(), "reason": malformed[0].problem},
            )
            self._entries.remove(malformed)

    def _store_alone(self, session: Session, entry: Entry, outcome: Outcome) -> Iterator[Entry]:
        try:
            self._store(session, [entry], 0, outcome)
        except (psycopg2.DataError, psycopg2.IntegrityError, ValueError) as problem:
            refused = replace(entry, transition=None, problem=str(problem).split("\n")[0])
            self._store(session, [refused], 1, outcome)
            yield refused

    def _store(self, session: Session, batch: Sequence[Entry], malformed: int, outcome: Outcome) -> None:
        with session.transaction() as tx:
            cursor = tx.one(QUERIES["lock_cursor"]) or {"stream_position": "0-0"}
            seen_up_to = place_of(cursor["stream_position"])
            transitions, repeated = _news(tx, batch, seen_up_to)
            store.apply(tx, transitions)
            position = max(seen_up_to, batch[-1].place)
            tx.execute(
                QUERIES["move_cursor"],
                {"position": f"{position[0]}-{position[1]}", "malformed": malformed, "repeated": repeated},
            )
        tell_of_journal(self._redis)
        outcome.transitions += len(transitions)
        outcome.repeated += repeated


def _news(tx: Transaction, batch: Sequence[Entry], seen_up_to: tuple[int, int]) -> tuple[list[Transition], int]:
    """The transitions that the journal does not have, and how many it has."""
    came = [(entry, entry.transition) for entry in batch if entry.transition is not None]
    doubtful = {t.event_id: t for entry, t in came if t.again or entry.place <= seen_up_to}
    known = store.known_events(tx, [t.task_id for t in doubtful.values()]) if doubtful else set()
    news: list[Transition] = []
    for _, transition in came:
        if transition.event_id not in known:
            known.add(transition.event_id)
            news.append(transition)
    return news, len(came) - len(news)
