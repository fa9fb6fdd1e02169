"""Which statements a connection has prepared, and when their plans are to be made anew.

PostgreSQL plans a prepared statement for the tables as they are then, and keeps the plan until one of them is
analyzed: a new table may grow from one page to thousands before that, and be read through all the time.
"""

from __future__ import annotations

import time

from tasks.db.queries import Prepared

_FIRST_S = 0.25
_LONGEST_S = 30.0


class Plans:
    """The plans of one connection. Each is made anew when it has become twice as old as the one before it."""

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, float]] = {}

    def preparing(self, statement: Prepared) -> str | None:
        """What is to be executed before the statement, and then told by ``prepared``; None: nothing."""
        known = self._until.get(statement.name)
        if known is None:
            return statement.prepare
        return f"DEALLOCATE {statement.name}; {statement.prepare}" if time.monotonic() > known[0] else None

    def prepared(self, statement: Prepared) -> None:
        """The statement was prepared just now."""
        known = self._until.get(statement.name)
        lasts_s = _FIRST_S if known is None else min(_LONGEST_S, 2 * known[1])
        self._until[statement.name] = time.monotonic() + lasts_s, lasts_s
