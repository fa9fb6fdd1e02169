"""Reads the journal in commit-safe order: id order, in which no row is ever passed that commits later.

A sequence's order is not commit order: a row with a lower id may become visible after one with a higher id. So a
missing id is "not yet" until every transaction that could own it has ended. Which those are, PostgreSQL knows
exactly: ``nextval`` takes a lock on the sequence and keeps it to the transaction's end. An id below one that is
visible was taken before the snapshot, so its owner is among the holders of that lock right after the snapshot, or
has ended. Once none of these holds it, a later snapshot shows what they committed, and what is missing in it never
comes.

Why not ``pg_snapshot_xmin`` past the ``pg_snapshot_xmax`` of the first sight: xmax is the last *completed* xid + 1,
and a transaction with a higher xid may already run and own the missing id. That rule then passes it at once;
``tests/integration/bridges/relay/test_reader.py`` shows it. The lock is also blind to transactions that have nothing
to do with the journal, however long they stay open.
"""

from __future__ import annotations

from typing import NamedTuple

from tasks.db.pool import Session
from tasks.db.queries import Queries

QUERIES = Queries("bridges.relay", "reader.sql")

MAX_ROWS = 2_000
MAX_BYTES = 8 << 20
_FETCH_ROWS = 100
_FETCH_ROWS_MOST = 500
# A prepared transaction shows up under another name than before, so any of them counts as an owner.
_PREPARED = "-1/"


class JournalRow(NamedTuple):
    """A journal row as the relay needs it: ``payload`` is the text of a JSON value, ``recorded_at`` RFC 3339."""

    id: int
    event_id: str
    aggregate_type: str
    aggregate_id: str
    version: int
    event_type: str
    payload: str
    correlation_id: str | None
    causation_id: str | None
    recorded_at: str
    partition_key: str | None = None

    @property
    def key(self) -> str:
        """What keeps it in order on Kafka: by default its aggregate."""
        return self.partition_key or self.aggregate_id


class Page(NamedTuple):
    """Rows that may go out now, in order. ``more``: there are further rows to read at once.

    ``blocked``: the next row waits for a transaction that may still commit an earlier one.
    """

    rows: list[JournalRow]
    more: bool
    blocked: bool


class _Wait(NamedTuple):
    through: int
    owners: frozenset[str]


class JournalReader:
    """Reads on one session, page by page, at most 2,000 rows or about 8 MiB each."""

    def __init__(self, session: Session, *, max_rows: int = MAX_ROWS, max_bytes: int = MAX_BYTES) -> None:
        self._session = session
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        # Ids up to here that are missing stay missing.
        self._dead_through = 0
        self._wait: _Wait | None = None

    def read(self, after: int) -> Page:
        """The rows after id ``after`` that may go out now. All up to ``after`` must have been dealt with."""
        self._look_at_owners()
        rows, more = self._fetch(after)
        ready = self._passable(after, rows)
        if len(ready) < len(rows) and self._wait is None:
            # Every id below the last that is visible was taken before this snapshot.
            self._wait_for_owners(rows[-1].id - 1)
            if self._wait is None and not ready:
                rows, more = self._fetch(after)
                ready = self._passable(after, rows)
        blocked = len(ready) < len(rows)
        return Page(ready, more or (blocked and bool(ready)), blocked and not ready)

    def _passable(self, after: int, rows: list[JournalRow]) -> list[JournalRow]:
        expected = after + 1
        for place, row in enumerate(rows):
            if row.id > expected and row.id - 1 > self._dead_through:
                return rows[:place]
            expected = row.id + 1
        return rows

    def _wait_for_owners(self, through: int) -> None:
        owners = self._owners()
        if owners:
            self._wait = _Wait(through, owners)
        else:
            self._dead_through = max(self._dead_through, through)

    def _look_at_owners(self) -> None:
        if self._wait is None:
            return
        now = self._owners()
        if now.isdisjoint(self._wait.owners) and not any(owner.startswith(_PREPARED) for owner in now):
            self._dead_through = max(self._dead_through, self._wait.through)
            self._wait = None

    def _owners(self) -> frozenset[str]:
        return frozenset(row["owner"] for row in self._session.all(QUERIES["id_owners"]))

    def _fetch(self, after: int) -> tuple[list[JournalRow], bool]:
        """Visible rows after ``after`` in one snapshot, and whether a limit was reached."""
        # While rows wait for a transaction, there is no use in reading thousands again and again.
        limit = self._max_rows if self._wait is None else _FETCH_ROWS
        rows: list[JournalRow] = []
        room_bytes = self._max_bytes
        fetch = _FETCH_ROWS
        with self._session.transaction() as tx, tx.raw.cursor() as cursor:
            cursor.execute(QUERIES["declare_rows"], {"after": after, "limit": limit})
            while len(rows) < limit and room_bytes > 0:
                cursor.execute(QUERIES["fetch_rows"], {"rows": fetch})
                fetched = [JournalRow._make(row) for row in cursor.fetchall()]
                rows += fetched
                if len(fetched) < fetch:
                    return rows, len(rows) >= limit
                sizes = [len(row.payload) for row in fetched]
                room_bytes -= sum(sizes)
                # Large rows are taken few at a time, so that a page stays near its limit.
                fetch = max(1, min(_FETCH_ROWS_MOST, room_bytes // max(sizes)))
        return rows, True
