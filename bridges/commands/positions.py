"""How far each partition of the commands was taken: in PostgreSQL, moved with what the commands asked for."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from tasks.db.pool import Session, Transaction
from tasks.db.queries import Queries

QUERIES = Queries("bridges.commands", "commands.sql")

# By topic and partition.
Positions = dict[tuple[str, int], int]


class PositionLost(Exception):
    """Another listener has gone on from here: what was done since must be undone."""


def try_lock(session: Session) -> bool:
    """Takes the lock that only one listener can hold; it is held until the session ends."""
    return session.one(QUERIES["try_lock"]) == {"held": True}


def begin(session: Session, partitions: Mapping[str, list[int]], ids: Mapping[str, str]) -> Positions:
    """Where to read on in these partitions of topics with these ids."""
    rows = [
        {"topic": topic, "partition": number, "topic_id": ids[topic]}
        for topic, numbers in partitions.items()
        for number in numbers
    ]
    found = session.all(QUERIES["begin"], {"rows": orjson.dumps(rows).decode()})
    return {(row["topic"], row["partition"]): row["next_offset"] for row in found}


def move(tx: Transaction, old: Positions, new: Positions) -> None:
    """Moves from ``old`` to ``new``, of the same partitions.

    Raises:
        PositionLost: one of them is not where it was.
    """
    rows = [
        {"topic": topic, "partition": number, "from_offset": old[topic, number], "next_offset": offset}
        for (topic, number), offset in sorted(new.items())
    ]
    if tx.execute(QUERIES["move"], {"rows": orjson.dumps(rows).decode()}) != len(rows):
        raise PositionLost
