"""Gives every request a correlation id, binds it for all that the request causes, and echoes it.

Taken from the first of the caller's headers that holds a usable id; a bad value is replaced, never echoed.
"""

from __future__ import annotations

import re

from flask import Flask, Response, request
from werkzeug.datastructures import Headers

from tasks import correlation

HEADER = "X-Correlation-ID"
_ACCEPTED = (HEADER, "X-Request-ID", "X-Trace-ID")
# All that an id may come from.
ACCEPTED_HEADERS = (*_ACCEPTED, "traceparent")
# W3C Trace Context: version, trace id (not all zero), parent id, flags. Later versions may append fields.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def from_headers(headers: Headers) -> str:
    """The correlation id of a request with ``headers``: the caller's where it is usable, else a fresh one."""
    for name in _ACCEPTED:
        value = headers.get(name)
        if correlation.is_valid(value):
            return correlation.accept(value)
    traced = _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip())
    return correlation.accept(traced.group(1) if traced else None)


def install(app: Flask) -> None:
    """Binds the id before each request and writes it on each response of ``app``."""

    @app.before_request
    def bind() -> None:
        correlation.set_current(from_headers(request.headers))

    @app.after_request
    def echo(response: Response) -> Response:
        response.headers[HEADER] = correlation.current() or correlation.accept(None)
        return response

    @app.teardown_request
    def unbind(_error: BaseException | None) -> None:
        correlation.set_current(None)
