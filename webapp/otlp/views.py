"""The endpoint of OTLP's metrics."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Flask, Response, request
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from tasks.db import deadline
from tasks.metrics.otlp import decoding
from webapp import body
from webapp.auth import require
from webapp.blueprint import ApiBlueprint, problems
from webapp.gzipped import inflate
from webapp.metrics import admission, telemetry
from webapp.otlp import failures, wire
from webapp.otlp.description import REQUEST_BODY, RESPONSES
from webapp.services import of, services

blueprint = ApiBlueprint("otlp", description="OpenTelemetry's GenAI metrics, by OTLP/HTTP.")

PATH = "/v1/metrics"
WITHIN_S = 10.0
ENCODINGS = ("identity", "gzip")
_ENDPOINT = "otlp.post_metrics"


def install(app: Flask) -> None:
    """Lets a request be larger than other bodies, and answers refusals in OTLP's form."""
    limit = of(app).settings.otlp_body_limit_bytes
    failures.install(app, PATH)

    @app.before_request
    def widen() -> None:
        if request.endpoint == _ENDPOINT:
            request.max_content_length = limit


@blueprint.route(PATH, methods=["POST"])
@require("metrics:write")
@problems(400, 413, 415, 503)
@blueprint.doc(requestBody=REQUEST_BODY, responses=RESPONSES)
def post_metrics() -> Response:
    """Take in OpenTelemetry's GenAI metrics (OTLP/HTTP)

    An `ExportMetricsServiceRequest` in protobuf or JSON, `Content-Encoding: gzip` allowed; the answer, and a refusal
    (`google.rpc.Status`), is in the same encoding. Histograms of `gen_ai.client.operation.duration`,
    `gen_ai.server.request.duration`, `gen_ai.client.token.usage` (newer:
    `gen_ai.client.inference.operation.input_tokens`, `….output_tokens`),
    `gen_ai.client.operation.time_to_first_chunk`, `gen_ai.server.time_to_first_token` and
    `gen_ai.server.time_per_output_token` are stored durably when the answer comes, each point once however often it
    is sent, and are in the rollups soon after; other points are counted in `partialSuccess`, with the reason. A point
    with `error.type` tells of failures, others of successes; the task type is `omninode.task_type`, else
    `gen_ai.operation.name`. Sums and counts are exact; a percentile is off by the width of the bucket that it falls
    in, at most.
    """
    settings = services().settings
    raw = body.read_raw(request, wire.MEDIA_TYPES, encodings=ENCODINGS)
    with admission.turn():
        deadline.begin(WITHIN_S)
        if body.encoding_of(request) == "gzip":
            raw = inflate(raw, settings.otlp_body_limit_bytes)
        message = wire.decode(raw, request.mimetype)
        reading = decoding.read(message, datetime.now(UTC), settings.otlp_ignored_metrics)
        recorded = services().otlp.record(reading.points)
    telemetry.count(recorded, len(reading.points) - recorded, reading.refusals)
    answer = ExportMetricsServiceResponse()
    if reading.refusals:
        answer.partial_success.rejected_data_points = reading.refusals
        answer.partial_success.error_message = reading.explained()
    return Response(wire.encode(answer, request.mimetype), 200, content_type=request.mimetype)
