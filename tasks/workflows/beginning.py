"""Begins a run inside somebody else's transaction, in such a way that a run which can't be made undoes nothing else.

Schedules, triggers and Kafka commands begin runs by this; ``submitting.py`` makes them.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg2

from tasks.db.pool import Transaction
from tasks.errors import BridgeError, DatabaseBusy, DatabaseUnavailable
from tasks.timeouts import TimedOut
from tasks.workflows.service import WorkflowService
from tasks.workflows.submitting import Submission, Submitted

_PASSING = (
    DatabaseUnavailable,
    DatabaseBusy,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    TimedOut,
)


class NotBegun(Exception):
    """The run can't be made, and trying again would not help; ``reason`` may be shown."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.problem = cause if isinstance(cause, BridgeError) else None
        self.code = cause.code if isinstance(cause, BridgeError) else type(cause).__name__
        self.reason = cause.detail if isinstance(cause, BridgeError) else f"unexpected {type(cause).__name__}"


def begin(tx: Transaction, workflows: WorkflowService, make: Callable[[], Submission]) -> Submitted:
    """Makes the run that ``make`` describes, in ``tx``; the hint after its commit is the caller's.

    Raises:
        NotBegun: it can't be made; the transaction is as before.
        DatabaseUnavailable, DatabaseBusy, psycopg2.OperationalError: the transaction is of no more use.
    """
    try:
        with tx.savepoint():
            return workflows.submit(make(), tx)
    except _PASSING:
        raise
    except Exception as cause:
        if tx.raw.closed:
            raise
        raise NotBegun(cause) from cause
