"""Describes a database's schema as text: for the test that migrations make the schema that is written down."""

from __future__ import annotations

from tasks.db.pool import Transaction
from tasks.db.queries import Queries

QUERIES = Queries("tasks.db", "describe.sql")


def describe(tx: Transaction) -> str:
    """Tables with columns, constraints and indexes, then views and functions, in a fixed order.

    The journal's partitions by day are left out: they depend on the day.
    """
    lines: list[str] = []
    for kind in QUERIES.names():
        lines.append(f"# {kind}")
        lines.extend(row["line"] for row in tx.all(QUERIES[kind]))
        lines.append("")
    return "\n".join(lines)
