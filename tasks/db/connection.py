"""A connection to PostgreSQL as the pool keeps it, and the look that tells whether it died while it was idle."""

from __future__ import annotations

import select
import time
from typing import Any

import psycopg2
import psycopg2.extensions
from sqlalchemy import event, exc
from sqlalchemy.pool import QueuePool

from tasks.db.plans import Plans

# Under load connections are hardly ever idle, and nobody pays for looking.
_LOOK_AFTER_S = 0.2


class Connection(psycopg2.extensions.connection):
    """A connection that knows which statements it has prepared; None where it is not to prepare any.

    And since when it is idle, on the monotonic clock.
    """

    plans: Plans | None = None
    idle_since = 0.0


def watch_idleness(pool: QueuePool) -> None:
    """Spares the users of ``pool`` connections that PostgreSQL, or a firewall, closed while they were idle.

    Nothing is to be read from an idle connection, so a look at its socket does, without a round trip. One that is
    dead is opened anew, and so are all that are as old, when their turn comes.
    """
    event.listen(pool, "checkout", _renew_if_dead)
    event.listen(pool, "checkin", _note_idleness)


def _note_idleness(raw: Any, _record: object) -> None:
    if isinstance(raw, Connection):
        raw.idle_since = time.monotonic()


def _renew_if_dead(raw: Any, _record: object, _fairy: object) -> None:
    if time.monotonic() - raw.idle_since < _LOOK_AFTER_S:
        return
    try:
        poller = select.poll()
        poller.register(raw.fileno(), select.POLLIN)
        if poller.poll(0):
            # The server's farewell, its end of the line, or news: asking tells.
            with raw.cursor() as cursor:
                cursor.execute("SELECT 1")
            raw.rollback()
    except psycopg2.Error as problem:
        raise exc.InvalidatePoolError from problem
