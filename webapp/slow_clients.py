"""Bounds how long a request's body may take to come, so that clients that send slowly, or never, hold up nobody.

Each body that is under way counts in ``ACCEPT_LIMIT``: without a bound, a few connections that send headers and then
nothing would have every other request refused. Works under gunicorn's gevent workers; a server of its own, as tests
run one, is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import gevent
from flask import Flask

from tasks.db import deadline
from tasks.errors import BridgeError
from webapp.services import of


class SlowClient(BridgeError):
    """The body did not come in time; nothing was done."""

    code = "INPUT_5"
    status = 408
    title = "Request timeout"


def install(app: Flask) -> None:
    """Gives the body of each request of ``app`` BODY_WITHIN_S to come. To be called before what reads bodies."""
    inner = app.wsgi_app
    within_s = of(app).settings.body_within_s

    def bounded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # A request without a body has neither.
        if "gunicorn.socket" in environ and ("CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ):
            environ["wsgi.input"] = _BoundedInput(environ["wsgi.input"], within_s)
        return inner(environ, start_response)

    app.wsgi_app = bounded  # type: ignore[method-assign]


class _BoundedInput:
    """A body that is read within a time for all of it; whoever reads on after that is told so again."""

    def __init__(self, source: Any, within_s: float) -> None:
        self._source = source
        self._until = time.monotonic() + within_s
        self._within_s = within_s

    def read(self, size: int = -1) -> bytes:
        """As a file's. Raises SlowClient."""
        return bytes(self._bounded(self._source.read, size))

    def readline(self, size: int = -1) -> bytes:
        """As a file's. Raises SlowClient."""
        return bytes(self._bounded(self._source.readline, size))

    def readlines(self, hint: int = -1) -> list[bytes]:
        """As a file's. Raises SlowClient."""
        return list(self._bounded(self._source.readlines, hint))

    def __iter__(self) -> _BoundedInput:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def _bounded(self, read: Callable[[int], Any], size: int) -> Any:
        left_s = self._until - time.monotonic()
        problem = SlowClient(f"The body did not come within {self._within_s:g} s.")
        if left_s <= 0:
            raise problem
        for_postgresql_s = deadline.remaining_s()
        try:
            with gevent.Timeout(left_s, problem):
                return read(size)
        finally:
            if for_postgresql_s is not None:
                # What the client takes is not taken from what PostgreSQL may take (webapp.database_deadline).
                deadline.begin(for_postgresql_s)
