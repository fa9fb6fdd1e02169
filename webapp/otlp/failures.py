"""Answers refusals at OTLP's address as OTLP demands: a ``google.rpc.Status`` in the encoding of the request.

The status of HTTP says whether the client should try again (429 and 503, after ``Retry-After``). What came in neither
encoding is answered as everywhere else.
"""

from __future__ import annotations

from typing import Any

import orjson
from flask import Flask, Response, request
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from webapp import problems
from webapp.otlp.wire import MEDIA_TYPES, encode

_CODES = {
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    405: Code.UNIMPLEMENTED,
    429: Code.RESOURCE_EXHAUSTED,
    500: Code.INTERNAL,
    503: Code.UNAVAILABLE,
}
_SLOW = 408
_UNAVAILABLE = 503
_DOMAIN = "omninode-bridge"


def install(app: Flask, path: str) -> None:
    """Rewrites the problems that ``app`` answers at ``path``, whoever found them."""

    @app.after_request
    def rewrite(response: Response) -> Response:
        if request.path == path and response.mimetype == problems.CONTENT_TYPE and request.mimetype in MEDIA_TYPES:
            _rewrite(response, request.mimetype)
        return response


def _rewrite(response: Response, media_type: str) -> None:
    if response.status_code == _SLOW:
        # OTLP drops what is answered with 408; a body that came too slowly may well come in time the next time.
        response.status_code = _UNAVAILABLE
        response.headers["Retry-After"] = "1"
    problem = orjson.loads(response.get_data())
    retry_after = response.headers.get("Retry-After")
    status = _status(problem, response.status_code, int(retry_after) if retry_after else None)
    response.set_data(encode(status, media_type))
    response.content_type = media_type


def _status(problem: dict[str, Any], http_status: int, retry_after_s: int | None) -> Status:
    status = Status(code=_CODES.get(http_status, Code.INVALID_ARGUMENT), message=problem["detail"])
    status.details.add().Pack(ErrorInfo(reason=problem["code"], domain=_DOMAIN))
    if retry_after_s is not None:
        retry = RetryInfo()
        retry.retry_delay.FromSeconds(retry_after_s)
        status.details.add().Pack(retry)
    if http_status == 400:
        violation = BadRequest.FieldViolation(description=problem["detail"])
        status.details.add().Pack(BadRequest(field_violations=[violation]))
    return status
