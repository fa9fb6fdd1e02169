"""Bounds how long a request waits for PostgreSQL, so that one that hangs is answered with 503 in time.

The server's own timeouts do not help when the server itself is frozen.
"""

from __future__ import annotations

from flask import Flask

from tasks.db import deadline

WITHIN_S = 1.7


def install(app: Flask) -> None:
    """Gives each request of ``app`` 1.7 s for all that it asks of PostgreSQL."""
    deadline.install()

    @app.before_request
    def begin() -> None:
        deadline.begin(WITHIN_S)

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        deadline.end()
