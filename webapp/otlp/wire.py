"""OTLP/HTTP's two encodings of the same messages, binary protobuf and JSON, by protobuf's own library.

Source: "OpenTelemetry Protocol Specification", section OTLP/HTTP. Its JSON differs from protobuf's: unknown fields
are passed over, names are in lowerCamelCase alone, and ids, which only exemplars have and are not kept, hexadecimal.
"""

from __future__ import annotations

from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tasks.errors import MalformedInput

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
MEDIA_TYPES = (PROTOBUF, JSON)

_DETAIL_LIMIT = 300
_EXEMPLARS = "exemplars"


def decode(raw: bytes, media_type: str) -> ExportMetricsServiceRequest:
    """The request in ``raw``, of one of ``MEDIA_TYPES``. Raises MalformedInput where it is none."""
    if media_type == JSON:
        return _of_json(raw)
    try:
        return ExportMetricsServiceRequest.FromString(raw)
    except DecodeError as problem:
        raise MalformedInput(f"The body is no ExportMetricsServiceRequest in protobuf: {problem}.") from None


def encode(message: Message, media_type: str) -> bytes:
    """The message in one of ``MEDIA_TYPES``."""
    if media_type == JSON:
        return json_format.MessageToJson(message, indent=None).encode()
    return message.SerializeToString()


def _of_json(raw: bytes) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    try:
        value = orjson.loads(raw)
        if not isinstance(value, dict):
            raise MalformedInput("The body is no JSON object.")
        json_format.ParseDict(_known(value), request, ignore_unknown_fields=True)
    except orjson.JSONDecodeError as problem:
        where = f"line {problem.lineno}, column {problem.colno}"
        raise MalformedInput(f"The body is not valid JSON: {problem.msg} at {where}.") from None
    except RecursionError:
        raise MalformedInput("The body is nested too deep.") from None
    except (json_format.ParseError, AttributeError, TypeError, ValueError) as problem:
        # The library lets some of Python's own errors through where a value is of a wrong type.
        detail = str(problem)[:_DETAIL_LIMIT].rstrip(".")
        raise MalformedInput(f"The body is no ExportMetricsServiceRequest in JSON: {detail}.") from None
    return request


def _known(value: Any) -> Any:
    """The value without fields that OTLP does not know by that name, and without exemplars."""
    if isinstance(value, dict):
        return {name: _known(inner) for name, inner in value.items() if "_" not in name and name != _EXEMPLARS}
    if isinstance(value, list):
        return [_known(inner) for inner in value] if value and isinstance(value[0], dict | list) else value
    return value
