"""The short way of ``POST /hooks``: a plain event with a known key, without Flask around it.

Nearly every request of the front door goes here; Flask and its extensions cost several times what reading, storing
and answering one event does. Whatever is out of the ordinary, an unknown key, a quoted idempotency key, a body that
only the schema can judge, goes on to the view as it came. What turns out wrong later (the rate limit, overload, a
database that does not answer) goes on as ``REFUSAL``, so that every problem is told, counted and audited by one code.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, g, request
from werkzeug.datastructures import EnvironHeaders

from tasks import correlation
from tasks.access.model import Principal
from tasks.db import deadline
from tasks.errors import BridgeError, Unauthorized
from tasks.hooks.model import Accepted
from webapp import database_deadline
from webapp.correlation import ACCEPTED_HEADERS, HEADER, from_headers
from webapp.hooks.answers import accepted_answer
from webapp.hooks.quick import event_of
from webapp.json_provider import dumps
from webapp.limits import HookWrites, hook_writes_of
from webapp.services import Services, of
from webapp.telemetry import Telemetry

REFUSAL = "bridge.refusal"
_SCOPE = "hooks:write"
_CORRELATING = tuple(f"HTTP_{name.upper().replace('-', '_')}" for name in ACCEPTED_HEADERS)


def install(app: Flask, telemetry: Telemetry) -> None:
    """Opens the lane before ``app``. To be called when everything else is installed."""
    app.wsgi_app = _Lane(app.wsgi_app, of(app), hook_writes_of(app), telemetry)  # type: ignore[method-assign]


def install_refusals(app: Flask) -> None:
    """Lets ``app`` tell what the lane refused. To be called before what checks keys and counts requests."""

    @app.before_request
    def tell() -> None:
        refusal = request.environ.get(REFUSAL)
        if refusal is not None:
            problem, g.limit_headers = refusal
            raise problem


class _Lane:
    def __init__(
        self, flask: Callable[..., Iterable[bytes]], bridge: Services, limit: HookWrites | None, telemetry: Telemetry
    ) -> None:
        self._flask = flask
        self._bridge = bridge
        self._limit = limit
        self._max_bytes = bridge.settings.hook_body_limit_bytes
        self._max_depth = bridge.settings.json_max_depth
        self._observe = telemetry.observer("POST", "/hooks", 202)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/hooks" or environ["REQUEST_METHOD"] != "POST":
            return self._flask(environ, start_response)
        began = time.perf_counter()
        deadline.begin(database_deadline.WITHIN_S)
        try:
            answer = self._answer(environ)
        finally:
            deadline.end()
            correlation.set_current(None)
        if answer is None:
            return self._flask(environ, start_response)
        status_headers, body = answer
        self._observe(time.perf_counter() - began)
        start_response("202 ACCEPTED", status_headers)
        return [body]

    def _answer(self, environ: WSGIEnvironment) -> tuple[list[tuple[str, str]], bytes] | None:
        """The headers and body of the answer; None where Flask is to answer."""
        try:
            principal = self._principal(environ)
            raw = None if principal is None else self._body(environ)
        except BridgeError as problem:
            environ[REFUSAL] = problem, []
            return None
        if principal is None or raw is None:
            return None
        hook = event_of(raw, environ.get("HTTP_IDEMPOTENCY_KEY"), self._max_depth)
        if hook is None:
            return None
        bound = _correlation_id(environ)
        correlation.set_current(bound)
        limit_headers: list[tuple[str, str]] = []
        try:
            if self._limit is not None:
                limit_headers = self._limit.take(f"key:{principal.id}", environ.get("REMOTE_ADDR") or "unknown")
            began = time.perf_counter()
            self._bridge.admission.admit(hook.source)
            accepted = self._bridge.hooks.accept(hook)
        except BridgeError as problem:
            environ[REFUSAL] = problem, getattr(problem, "limit_headers", limit_headers)
            environ["HTTP_X_CORRELATION_ID"] = bound
            return None
        return _written(accepted, began, environ.get("SCRIPT_NAME", ""), bound, limit_headers)

    def _principal(self, environ: WSGIEnvironment) -> Principal | None:
        """Who calls, where that is beyond doubt; refusing a key is Flask's. Raises as ``verify``."""
        scheme, _, secret = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            secret = environ.get("HTTP_X_API_KEY", "")
        if not secret:
            return None
        try:
            principal = self._bridge.access.verify(secret.strip() if scheme else secret)
        except Unauthorized:
            return None
        return principal if principal.may(_SCOPE) else None

    def _body(self, environ: WSGIEnvironment) -> bytes | None:
        """The body, which stays readable for Flask; None where its headers are out of the ordinary."""
        length = environ.get("CONTENT_LENGTH", "")
        if (
            environ.get("CONTENT_TYPE") != "application/json"
            or "HTTP_CONTENT_ENCODING" in environ
            or not length.isdecimal()
            or int(length) > self._max_bytes
        ):
            return None
        raw: bytes = environ["wsgi.input"].read(int(length))
        environ["wsgi.input"] = io.BytesIO(raw)
        return raw if len(raw) == int(length) else None


def _correlation_id(environ: WSGIEnvironment) -> str:
    if any(name in environ for name in _CORRELATING):
        return from_headers(EnvironHeaders(environ))
    return correlation.accept(None)


def _written(
    accepted: Accepted, began: float, root: str, bound: str, limit_headers: list[tuple[str, str]]
) -> tuple[list[tuple[str, str]], bytes]:
    answer: dict[str, Any] = accepted_answer(accepted, root, began)
    body = dumps(answer)
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Location", answer["links"]["self"]),
        (HEADER, bound),
        *limit_headers,
    ]
    return headers, body
