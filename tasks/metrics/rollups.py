"""The table of rollups: adds chunks to it, and builds whole days of it anew. Nothing else writes it.

Sums are exact and buckets are counts, so that it does not matter in which order rows come: a day that is built anew
is the day that was.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.metrics.model import Piece

QUERIES = Queries("tasks.metrics", "rollups.sql")
# PostgreSQL's advisory locks are numbers; this one is "rollups" of this project.
_LOCK = 6_812_501_020


def share(tx: Transaction) -> None:
    """Before chunks are added: waits while a day is built anew, and makes that wait for this transaction."""
    tx.execute(QUERIES["share"], {"lock": _LOCK})


def exclude(tx: Transaction) -> None:
    """Before days are built anew: waits until nobody adds a chunk, and lets nobody begin."""
    tx.execute(QUERIES["exclude"], {"lock": _LOCK})


def add(tx: Transaction, pieces: Sequence[Piece]) -> int:
    """Adds the rows of chunks that this transaction has marked; returns how many rows there were."""
    if not pieces:
        return 0
    return _add_up(
        tx,
        {
            "batch_ids": [piece.batch_id for piece in pieces],
            "first_ids": [piece.first_id for piece in pieces],
            "last_ids": [piece.last_id for piece in pieces],
            "since": None,
            "until": None,
        },
    )


def rebuild(tx: Transaction, since: datetime, until: datetime) -> int:
    """Puts what the raw rows say in the place of what the rollups say, from one midnight (UTC) to another.

    Rows whose chunk still waits are left for who adds it. Returns how many rows were added up.
    """
    tx.execute(QUERIES["clear"], {"since": since, "until": until})
    return _add_up(tx, {"batch_ids": [], "first_ids": [], "last_ids": [], "since": since, "until": until})


def _add_up(tx: Transaction, parameters: dict[str, object]) -> int:
    # Not prepared: a plan for any number of rows is a bad one for thousands.
    found = tx.one(QUERIES["add_up"], parameters)
    return int(found["rows"]) if found else 0
