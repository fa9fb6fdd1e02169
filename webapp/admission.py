"""Bounds how many hooks one process takes in at the same time: what is over the bound is answered at once with 503.

A bound on what is under way is a bound on how long it takes (Little's law): with 128 under way and 1,000 a second
done, an accepted hook waits about 128 ms, however many more are sent. The refusal comes before Flask, since it has
to be far cheaper than what it refuses. ``tasks.hooks.admission`` refuses some sources earlier.

Who was refused is told to come again in two seconds; who sends again at once, on the same connection, is read a
quarter of a second later. Refusals, cheap as they are, would else take the processor from what is accepted: a crowd
on 512 connections was refused 9,400 times a second, and an accepted hook waited 100 to 300 ms for each turn of the
event loop.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import orjson
from flask import Flask
from prometheus_client import CollectorRegistry, Counter
from werkzeug.datastructures import EnvironHeaders

from tasks.hooks.admission import Overloaded
from webapp import correlation
from webapp.services import of

_WRITES = frozenset({"/hooks", "/hooks/batch"})
_PAUSE_S = 0.25
_DETAIL = "The bridge takes in as many hooks as it can; send this one again later."


def install(app: Flask, registry: CollectorRegistry) -> None:
    """Puts the bound, ``ACCEPT_LIMIT``, before ``app``, and counts in ``registry`` what is refused."""
    refused = Counter("omninode_hooks_refused", "Hook requests over the bound, refused at once.", registry=registry)
    shed = Counter("omninode_hooks_shed", "Hooks of low priority, refused under overload.", registry=registry)
    of(app).admission.on_refusal = shed.inc
    gate = _Gate(app.wsgi_app, of(app).settings.accept_limit, refused)
    app.wsgi_app = gate  # type: ignore[method-assign]


class _Gate:
    def __init__(self, inner: Callable[..., Iterable[bytes]], limit: int, refused: Counter) -> None:
        self._inner = inner
        self._limit = limit
        self._refused = refused
        self._under_way = 0
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "POST" or environ["PATH_INFO"] not in _WRITES:
            return self._inner(environ, start_response)
        with self._lock:
            full = self._under_way >= self._limit
            self._under_way += not full
        if full:
            self._refused.inc()
            return _refuse(environ, start_response)
        try:
            return self._inner(environ, start_response)
        finally:
            with self._lock:
                self._under_way -= 1


class _Refusal:
    """A response's body; the server closes it after it has sent it, and reads the connection's next request then."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self._body

    def close(self) -> None:
        time.sleep(_PAUSE_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter


def _refuse(environ: WSGIEnvironment, start_response: StartResponse) -> _Refusal:
    problem: dict[str, Any] = {
        "type": f"urn:omninode-bridge:problem:{Overloaded.code}",
        "title": Overloaded.title,
        "status": Overloaded.status,
        "detail": _DETAIL,
        "instance": environ["PATH_INFO"],
        "code": Overloaded.code,
        "errors": [],
    }
    body = orjson.dumps(problem)
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Retry-After", str(int(Overloaded.retry_after_s or 1))),
        (correlation.HEADER, correlation.from_headers(EnvironHeaders(environ))),
    ]
    start_response("503 SERVICE UNAVAILABLE", headers)
    return _Refusal(body)
