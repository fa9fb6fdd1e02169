"""What OpenAPI tells of OTLP's messages: enough for a client by hand; the whole is in OpenTelemetry's own files."""

from __future__ import annotations

from typing import Any

from webapp.blueprint import CORRELATION_HEADER, LIMIT_HEADERS
from webapp.otlp.wire import JSON, PROTOBUF

_BOUNDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


_POINT = {
    "attributes": [
        _text("gen_ai.operation.name", "chat"),
        _text("gen_ai.provider.name", "acme"),
        _text("gen_ai.request.model", "llama-3.3-70b"),
    ],
    "startTimeUnixNano": "1772368200000000000",
    "timeUnixNano": "1772368260000000000",
    "count": "3",
    "sum": 4.2,
    "explicitBounds": _BOUNDS,
    "bucketCounts": ["0", "0", "0", "0", "0", "0", "0", "2", "1", "0", "0", "0", "0", "0", "0"],
}
_EXAMPLE = {
    "resourceMetrics": [
        {
            "resource": {"attributes": [_text("service.name", "shop")]},
            "scopeMetrics": [
                {
                    "metrics": [
                        {
                            "name": "gen_ai.client.operation.duration",
                            "unit": "s",
                            "histogram": {"aggregationTemporality": 1, "dataPoints": [_POINT]},
                        }
                    ]
                }
            ],
        }
    ]
}
_REQUEST = {"type": "object", "description": "An `ExportMetricsServiceRequest`."}
_ANSWER = {
    "type": "object",
    "description": "An `ExportMetricsServiceResponse`: empty where all points were taken.",
    "properties": {
        "partialSuccess": {
            "type": "object",
            "properties": {"rejectedDataPoints": {"type": "string"}, "errorMessage": {"type": "string"}},
        }
    },
}
_STATUS = {
    "type": "object",
    "description": "A `google.rpc.Status`.",
    "properties": {
        "code": {"type": "integer"},
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}},
    },
}
_RETRY = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
_WHO = {"WWW-Authenticate": {"$ref": "#/components/headers/WWWAuthenticate"}}
_REFUSALS: dict[int, tuple[str, dict[str, Any]]] = {
    400: ("The body is not such a message: do not send it again.", {}),
    401: ("Unauthorized", _WHO),
    403: ("Forbidden", _WHO),
    413: ("Larger than OTLP_BODY_LIMIT_BYTES, or more than 20,000 points.", {}),
    429: ("Too many requests: send it again.", _RETRY | LIMIT_HEADERS),
    503: ("Nothing is known to be stored: send it again.", _RETRY),
}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {JSON: {"schema": schema}, PROTOBUF: _BINARY}


REQUEST_BODY = {
    "required": True,
    "content": {JSON: {"schema": _REQUEST, "example": _EXAMPLE}, PROTOBUF: _BINARY},
}
RESPONSES: dict[int, dict[str, Any]] = {
    200: {"description": "Durably stored, but for what `partialSuccess` counts.", "content": _content(_ANSWER)}
} | {
    status: {"description": text, "headers": CORRELATION_HEADER | headers, "content": _content(_STATUS)}
    for status, (text, headers) in _REFUSALS.items()
}
