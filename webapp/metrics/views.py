"""The endpoints of executions: record a batch, and see how far it is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Flask, Response, request

from tasks.db import deadline
from webapp import body
from webapp.auth import require
from webapp.blueprint import ApiBlueprint, problems
from webapp.gzipped import inflate
from webapp.json_provider import dumps
from webapp.metrics import admission, schemas, telemetry
from webapp.metrics.reading import Batch, read_batch
from webapp.problems import as_item
from webapp.services import of, services

blueprint = ApiBlueprint(
    "executions", description="Model executions: recorded durably, rolled up, announced on Kafka."
)

# Ten thousand rows take longer than one; a client that sends so many waits for it.
WITHIN_S = 10.0
ENCODINGS = ("identity", "gzip")
_LARGE = "executions.post_executions"
_EXECUTION = {
    "execution_id": "e-8f14e45f",
    "model": "llama-3.3-70b",
    "model_tier": "large",
    "provider": "acme",
    "task_type": "code_review",
    "started_at": "2026-03-01T12:30:15.250Z",
    "latency_ms": 1830.5,
    "first_token_latency_ms": 210,
    "input_tokens": 1250,
    "output_tokens": 410,
    "success": True,
    "quality_score": 0.87,
    "cost_usd": 0.0042,
}
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/ExecutionBatch"},
            "example": {"executions": [_EXECUTION]},
        }
    },
}


def install(app: Flask) -> None:
    """Lets a batch be larger than other bodies, and take longer."""
    limit = of(app).settings.batch_body_limit_bytes
    admission.install(app)

    @app.before_request
    def widen() -> None:
        if request.endpoint == _LARGE:
            request.max_content_length = limit


@blueprint.route("/metrics/executions", methods=["POST"])
@require("metrics:write")
@problems(400, 413, 415, 422, 503)
@blueprint.doc(requestBody=_BODY)
@blueprint.response(207, schemas.RecordedBatchSchema())
def post_executions() -> Response:
    """Record model executions

    Up to 10,000, `Content-Encoding: gzip` allowed. An execution that is not valid fails alone. The others are durable
    when the answer comes, and in the rollups soon after; an `execution_id` counts once.
    """
    settings = services().settings
    raw = body.read_raw(request, encodings=ENCODINGS)
    with admission.turn():
        deadline.begin(WITHIN_S)
        if body.encoding_of(request) == "gzip":
            raw = inflate(raw, settings.batch_body_limit_bytes)
        answer = _record(read_batch(raw, settings.json_max_depth))
    return Response(dumps(answer), 207, content_type="application/json")


@blueprint.route("/metrics/batches/<uuid:batch_id>", methods=["GET"])
@require("metrics:read")
@problems(404)
@blueprint.response(200, schemas.BatchStateSchema())
def get_batch(batch_id: UUID) -> dict[str, Any]:
    """Show how far a batch is

    `closed` means that all of it is in the rollups.
    """
    return services().metrics.batch(batch_id)


def _record(batch: Batch) -> dict[str, Any]:
    recorded = services().metrics.record([execution for _, execution in batch.valid], source="http")
    telemetry.count(len(batch.valid) - len(recorded.duplicates), len(recorded.duplicates), len(batch.refused))
    known: set[str] = set(recorded.duplicates)
    successes = []
    for index, execution in batch.valid:
        name = execution.execution_id
        successes.append({"index": index, "id": name, "status": 202, "duplicate": name in known})
        known.add(name)
    errors = [{"index": index, **as_item(problem)} for index, problem in batch.refused]
    return {"batch_id": recorded.batch_id, "successes": successes, "errors": errors}
