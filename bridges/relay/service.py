"""What people and other programs may ask of the relay: how far it is, to send again, to pass over.

Works through PostgreSQL alone: it needs neither Kafka nor a running relay.
"""

from __future__ import annotations

from typing import Any

import orjson

from bridges.relay.cursors import QUERIES, SINK
from tasks import correlation
from tasks.db.pool import Database, Transaction
from tasks.errors import FieldError, NotFound, ValidationFailed
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.settings import Settings

_COUNT_LIMIT = 100_000
_RATE_IS_OLD_AFTER_S = 3.0


class RelayService:
    """Status, replay and skip of the sink ``kafka``."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings

    def status(self) -> dict[str, Any]:
        """How the relay does: ``active`` (a relay holds the lock), ``position``, ``lag_rows``, ``lag_s``,
        ``rate_per_s``, ``note``, ``trouble``, ``topics``, ``lost_topics``, ``sent_rows``, ``dead_letters``,
        ``last_error``, ``updated_at``.

        ``lag_s`` is the age of the oldest row that is not confirmed. Beyond 100,000 rows ``lag_rows`` is
        counted by ids and may be too high.
        """
        with self._db.transaction() as tx:
            row = _found(tx.one(QUERIES["status"], {"sink": SINK, "count_limit": _COUNT_LIMIT}))
        detail = row["detail"]
        lag_rows = row["lag_rows"]
        if lag_rows >= _COUNT_LIMIT:
            lag_rows = max(lag_rows, row["last_id"] - row["position"])
        return {
            "sink": SINK,
            "active": row["active"],
            "position": row["position"],
            "lag_rows": lag_rows,
            "lag_s": round(row["lag_s"] or 0.0, 3),
            "rate_per_s": detail.get("rate_per_s", 0.0) if row["quiet_s"] < _RATE_IS_OLD_AFTER_S else 0.0,
            "note": row["note"],
            "trouble": detail.get("trouble"),
            "topics": sorted(detail.get("topics", {})),
            "lost_topics": detail.get("lost_topics", []),
            "sent_rows": detail.get("sent_rows", 0),
            "dead_letters": detail.get("dead_letters", 0),
            "last_error": detail.get("last_error"),
            "ephemeral": self._settings.kafka_ephemeral,
            "updated_at": row["updated_at"],
        }

    def replay(self, from_id: int = 0) -> dict[str, Any]:
        """Sends the journal again from id ``from_id`` on; a running relay begins at once. Event ids stay the same.

        Raises:
            ValidationFailed: ``from_id`` is negative, or lies behind what was not sent yet.
        """
        with self._db.transaction() as tx:
            row = _found(tx.one(QUERIES["lock_row"], {"sink": SINK}))
            to = max(from_id - 1, 0)
            if from_id < 0 or to > row["position"]:
                raise _wrong("/from_id", f"must be between 0 and {row['position'] + 1}, where the cursor is")
            return self._set(tx, row, "replay", to, None)

    def skip(self, to_id: int | None = None, count: int | None = None, reason: str = "") -> dict[str, Any]:
        """Passes over what was not sent, up to and with id ``to_id``, or the next ``count`` rows. They are not
        sent to Kafka; that and the reason are written in the journal.

        Raises:
            ValidationFailed: not exactly one of the two is given, no reason, or there are no such rows.
        """
        if (to_id is None) == (count is None):
            raise _wrong("/to_id", "give either to_id or count")
        if not reason.strip():
            raise _wrong("/reason", "must say why")
        with self._db.transaction() as tx:
            row = _found(tx.one(QUERIES["lock_row"], {"sink": SINK}))
            to = to_id if to_id is not None else self._nth(tx, row["position"], count or 0)
            last = _found(tx.one(QUERIES["last_id"]))["id"]
            if not row["position"] < to <= last:
                raise _wrong("/to_id", f"must be after {row['position']} and at most {last}")
            return self._set(tx, row, "skip", to, reason.strip())

    def _nth(self, tx: Transaction, position: int, count: int) -> int:
        found = None if count < 1 else tx.one(QUERIES["nth_after"], {"after": position, "nth": count})
        if found is None:
            raise _wrong("/count", "must be at least 1, and at most the number of rows that wait")
        return int(found["id"])

    def _set(self, tx: Transaction, row: dict[str, Any], act: str, to: int, reason: str | None) -> dict[str, Any]:
        acts = int(row["detail"].get("acts", 0)) + 1
        detail: dict[str, Any] = {"acts": acts, "trouble": None, "sticky_note": None, "lost_topics": []}
        tx.execute(QUERIES["set_position"], {"sink": SINK, "to": to, "detail": orjson.dumps(detail).decode()})
        change = {"setting": "relay.position", "action": act, "from": row["position"], "to": to, "reason": reason}
        append(
            tx,
            [JournalEvent("sink", SINK, acts, "configuration-changed", change, correlation_id=correlation.current())],
        )
        return {"sink": SINK, "action": act, "from": row["position"], "to": to, "reason": reason}


def _found(row: dict[str, Any] | None) -> dict[str, Any]:
    if row is None:
        raise NotFound(f"sink_cursors has no row {SINK!r}.")
    return row


def _wrong(pointer: str, detail: str) -> ValidationFailed:
    return ValidationFailed("The relay can't do that.", errors=[FieldError(pointer, detail)])
