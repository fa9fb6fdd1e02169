"""The relay's row in ``sink_cursors``: how far it is, what it has to say, what it knows of the broker.

``detail`` holds ``topics`` (name to the broker's id), ``generation`` (how often the broker turned out to be another
one), ``trouble``, ``sticky_note`` and telemetry. It is written by the one relay that holds the lock, on the very
session that holds it, and by replay and skip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from tasks.db.pool import Session
from tasks.db.queries import Queries
from tasks.errors import NotFound

QUERIES = Queries("bridges.relay", "cursors.sql")
SINK = "kafka"


class SinkCursor:
    """The cursor of the sink ``kafka``, as the relay that holds the lock sees and moves it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.position = 0
        self.note: str | None = None
        self.detail: dict[str, Any] = {}
        self.reload()

    def reload(self) -> None:
        """Reads the row again.

        Raises:
            NotFound: there is none; the migrations make it.
        """
        row = self._session.one(QUERIES["load"], {"sink": SINK})
        if row is None:
            raise NotFound(f"sink_cursors has no row {SINK!r}.")
        self.position, self.note, self.detail = row["position"], row["note"], row["detail"]

    def look(self) -> tuple[int, int]:
        """The position in the database, and the highest journal id that was ever taken."""
        row = self._session.one(QUERIES["look"], {"sink": SINK})
        return (self.position, 0) if row is None else (row["position"], row["last_id"])

    def move(self, to: int, detail: Mapping[str, Any]) -> bool:
        """Moves from ``position`` to ``to``; False where somebody else has set it meanwhile."""
        params = {"sink": SINK, "from": self.position, "to": to, "detail": _json(detail)}
        if self._session.execute(QUERIES["move_if_unmoved"], params) != 1:
            return False
        self.position = to
        self.detail.update(detail)
        return True

    def describe(self, note: str | None, detail: Mapping[str, Any]) -> None:
        """Writes the note and changes fields of the detail."""
        self._session.execute(QUERIES["describe"], {"sink": SINK, "note": note, "detail": _json(detail)})
        self.note = note
        self.detail.update(detail)

    def remember(self, detail: Mapping[str, Any]) -> None:
        """Changes fields of the detail, and leaves the note alone."""
        self._session.execute(QUERIES["remember"], {"sink": SINK, "detail": _json(detail)})
        self.detail.update(detail)

    def begin_again(self, note: str, detail: Mapping[str, Any]) -> None:
        """Moves back to the journal's beginning."""
        self._session.execute(QUERIES["begin_again"], {"sink": SINK, "note": note, "detail": _json(detail)})
        self.position = 0
        self.note = note
        self.detail.update(detail)


def try_lock(session: Session) -> bool:
    """Takes the lock that only one relay can hold; it is held until the session ends."""
    row = session.one(QUERIES["try_lock"])
    return row is not None and bool(row["held"])


def _json(detail: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(detail)).decode()
