"""A deadline on the client's side: how long this thread waits for PostgreSQL, all its queries together.

The server's own timeouts do not help when the server hangs or the network swallows packets: libpq would wait for
ever. While a deadline holds, connecting and querying raise psycopg2.OperationalError once it has passed, and the
connection is closed, since what it did is not known.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import psycopg2.extensions

_WAITS = {
    psycopg2.extensions.POLL_READ: select.POLLIN,
    psycopg2.extensions.POLL_WRITE: select.POLLOUT,
}
_LONGEST_WAIT_S = 30.0
_local = threading.local()


def install() -> None:
    """Makes this process's connections heed deadlines (psycopg2's wait callback; COPY is not possible then).

    A thread without a deadline waits 30 s at most: libpq's connect_timeout does not count any more.
    """
    psycopg2.extensions.set_wait_callback(_wait)


def begin(seconds: float) -> None:
    """From now on this thread's waits for PostgreSQL end within ``seconds``, until ``end``."""
    _local.deadline = time.monotonic() + seconds


def end() -> None:
    """Lifts this thread's deadline."""
    _local.deadline = None


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Gives the block ``seconds`` of its own, whatever is left to this thread; then the deadline is as before.

    For work whose time is spent elsewhere: a deadline of the whole request would have passed before its last query.
    """
    before: float | None = getattr(_local, "deadline", None)
    begin(seconds)
    try:
        yield
    finally:
        _local.deadline = before


def remaining_s() -> float | None:
    """Seconds left, at least 0; None without a deadline."""
    deadline: float | None = getattr(_local, "deadline", None)
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _wait(connection: psycopg2.extensions.connection) -> None:
    while True:
        state = connection.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        poller = select.poll()
        poller.register(connection.fileno(), _WAITS[state])
        left = remaining_s()
        if not poller.poll((_LONGEST_WAIT_S if left is None else left) * 1000):
            # psycopg2 itself closes a connection whose callback raises; it holds the connection's lock here.
            raise psycopg2.OperationalError("PostgreSQL did not answer before the deadline")
