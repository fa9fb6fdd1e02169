"""Answers every error as RFC 9457 ``application/problem+json``.

Ours (``BridgeError``), Flask's and werkzeug's (``HTTPException``) and the unexpected ones, which show no internals.
"""

from __future__ import annotations

import logging
import math
from typing import Any
from urllib.parse import quote

from flask import Flask, Response, g, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from tasks.errors import BridgeError, Forbidden, Unauthorized
from tasks.workflows.definition.mistakes import told
from webapp.json_provider import dumps

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
_REALM = 'Bearer realm="omninode-bridge"'
_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not know that method.",
}


class UnsupportedMedia(BridgeError):
    """The body is not JSON, or is coded in a way that is not read here."""

    code = "INPUT_4"
    status = 415
    title = "Unsupported media type"


def install(app: Flask) -> None:
    """Registers the error handlers on ``app``."""
    app.register_error_handler(BridgeError, _of_bridge_error)
    app.register_error_handler(HTTPException, of_http_exception)
    app.register_error_handler(Exception, _of_unexpected)


def problem(
    *,
    code: str,
    status: int,
    title: str,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    retry_after_s: float | None = None,
) -> Response:
    """A problem+json response; ``retry_after_s`` becomes whole seconds, at least one."""
    body: dict[str, Any] = {
        "type": f"urn:omninode-bridge:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": quote(request.path, safe="/:@!$&'()*+,;=~-._"),
        "code": code,
        "errors": errors or [],
    }
    response = Response(dumps(body), status=status, content_type=CONTENT_TYPE)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    return response


def as_item(error: BridgeError) -> dict[str, Any]:
    """The part of a problem that stands in a list of failed items."""
    return {
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "errors": [told(item) for item in error.errors],
    }


def _of_bridge_error(error: BridgeError) -> ResponseReturnValue:
    if error.status >= 500:
        log.warning("request-failed", extra={"code": error.code, "status": error.status, "path": request.path})
    item = as_item(error)
    response = problem(title=error.title, retry_after_s=error.retry_after_s, **item)
    if isinstance(error, Unauthorized):
        given = ', error="invalid_token"' if g.get("credential_given") else ""
        response.headers["WWW-Authenticate"] = _REALM + given
    elif isinstance(error, Forbidden):
        response.headers["WWW-Authenticate"] = f'{_REALM}, error="insufficient_scope"'
    return response


def of_http_exception(error: HTTPException) -> ResponseReturnValue:
    """The problem of an exception of werkzeug's; a redirect passes as it is."""
    status = error.code or 500
    if status < 400:
        return error.get_response()
    name = error.name
    response = problem(
        code=f"HTTP_{status}",
        status=status,
        title=name,
        detail=_DETAILS.get(status) or error.description or name,
        retry_after_s=1.0 if status == 503 else None,
    )
    for header, value in error.get_headers(request.environ):
        if header.lower() == "allow":
            response.headers[header] = value
    return response


def _of_unexpected(error: Exception) -> ResponseReturnValue:
    log.error("request-crashed", exc_info=error, extra={"method": request.method, "path": request.path})
    return problem(
        code=BridgeError.code,
        status=500,
        title=BridgeError.title,
        detail="The server failed to handle this request; its log tells more under the correlation id.",
    )
