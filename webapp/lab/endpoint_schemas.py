"""The shapes of the lab's endpoints, models and reports on the wire."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from tasks.lab.model import CIRCUIT_STATES, ENDPOINT_STATES, KINDS, TIERS
from webapp.lab.schemas import name_field
from webapp.validation import Whole


class NewEndpointSchema(Schema):
    """An endpoint as an administrator adds it."""

    name = fields.String(
        required=True,
        validate=Whole(r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$", error="must be of a-z 0-9 . _ -"),
        metadata={"example": "workstation"},
    )
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    url = fields.String(
        required=True, validate=validate.Length(8, 400), metadata={"example": "http://127.0.0.1:11434"}
    )
    tier = fields.String(required=True, validate=validate.OneOf(TIERS))
    models = fields.List(
        name_field("A name, or a pattern such as `llama3*`."),
        validate=validate.Length(0, 1000),
        metadata={"description": "Which of its models may be used; all if not given."},
    )
    model_tiers = fields.Dict(
        keys=name_field("A name or a pattern."),
        values=fields.String(validate=validate.OneOf(TIERS)),
        metadata={"description": "Tiers of models that have another than the endpoint's."},
    )
    provider = name_field("The provider recorded with its executions; by default the kind.")
    secret = fields.String(
        validate=Whole(r"^[A-Z][A-Z0-9_]{0,62}$", error="must be the NAME of a secret"),
        metadata={"description": "NAME of the key, which OMNINODE_SECRET_NAME holds where the lab runs."},
    )
    max_concurrency = fields.Integer(validate=validate.Range(1, 10_000), load_default=4)
    connect_timeout_s = fields.Float(validate=validate.Range(0.001, 600), load_default=3.0)
    first_token_timeout_s = fields.Float(validate=validate.Range(0.001, 600), load_default=60.0)
    enabled = fields.Boolean(load_default=True)


class EndpointSchema(Schema):
    """An endpoint and how it does."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    url = fields.String(required=True)
    tier = fields.String(required=True, validate=validate.OneOf(TIERS))
    models = fields.List(fields.String(), required=True)
    model_tiers = fields.Dict(required=True)
    provider = fields.String(required=True, allow_none=True)
    secret = fields.String(required=True, allow_none=True)
    max_concurrency = fields.Integer(required=True)
    connect_timeout_s = fields.Float(required=True)
    first_token_timeout_s = fields.Float(required=True)
    enabled = fields.Boolean(required=True)
    state = fields.String(required=True, validate=validate.OneOf(ENDPOINT_STATES))
    checked_at = fields.DateTime(required=True, format="iso", allow_none=True)
    check_latency_ms = fields.Float(required=True, allow_none=True)
    check_error = fields.String(required=True, allow_none=True)
    circuit = fields.String(required=True, validate=validate.OneOf(CIRCUIT_STATES))
    failures = fields.Integer(required=True, metadata={"description": "Failed calls in a row."})
    circuit_until = fields.DateTime(required=True, format="iso", allow_none=True)
    paused_until = fields.DateTime(required=True, format="iso", allow_none=True)
    calls = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Under way now; null if Redis does not answer."}
    )
    model_count = fields.Integer(required=True)
    created_at = fields.DateTime(required=True, format="iso")
    updated_at = fields.DateTime(required=True, format="iso")


class EndpointsSchema(Schema):
    """All endpoints, by name."""

    items = fields.List(fields.Nested(EndpointSchema), required=True)


class LabHealthSchema(Schema):
    """How the lab is."""

    status = fields.String(
        required=True, validate=validate.OneOf(("healthy", "degraded", "unhealthy", "unconfigured"))
    )
    endpoints = fields.List(fields.Nested(EndpointSchema), required=True)


class ModelPlaceSchema(Schema):
    """A model at one endpoint."""

    endpoint = fields.String(required=True)
    kind = fields.String(required=True)
    provider = fields.String(required=True)
    tier = fields.String(required=True, validate=validate.OneOf(TIERS))
    available = fields.Boolean(required=True)
    details = fields.Dict(required=True)


class ModelSchema(Schema):
    """A model that may be asked."""

    model = fields.String(required=True)
    available = fields.Boolean(required=True, metadata={"description": "Whether one of its endpoints accepts calls."})
    endpoints = fields.List(fields.Nested(ModelPlaceSchema), required=True)


class ModelsSchema(Schema):
    """All models, by name."""

    items = fields.List(fields.Nested(ModelSchema), required=True)


class ReportQuerySchema(Schema):
    """Which time to report on."""

    hours = fields.Float(load_default=24.0, validate=validate.Range(0.01, 720))


class QuantilesSchema(Schema):
    """A distribution in milliseconds."""

    mean = fields.Float(required=True, allow_none=True)
    p50 = fields.Float(required=True, allow_none=True)
    p90 = fields.Float(required=True, allow_none=True)
    p95 = fields.Float(required=True, allow_none=True)
    p99 = fields.Float(required=True, allow_none=True)


class PerformanceSchema(Schema):
    """How an endpoint, or a model, did; latencies are those of attempts that succeeded."""

    name = fields.String(required=True)
    attempts = fields.Integer(required=True)
    success_rate = fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Of the attempts that could finish: not `abandoned`, not `cancelled`."},
    )
    escalations = fields.Integer(required=True)
    latency_ms = fields.Nested(QuantilesSchema, required=True)
    first_token_latency_ms = fields.Nested(QuantilesSchema, required=True)
    input_tokens = fields.Integer(required=True)
    output_tokens = fields.Integer(required=True)
    tokens_per_second = fields.Float(required=True, allow_none=True)
    quality_score = fields.Float(required=True, allow_none=True)
    errors = fields.Dict(required=True, metadata={"description": "Failed attempts by error type."})


class ReportSchema(Schema):
    """How the lab's endpoints and models did lately."""

    since = fields.DateTime(required=True, format="iso")
    until = fields.DateTime(required=True, format="iso")
    endpoints = fields.List(fields.Nested(PerformanceSchema), required=True)
    models = fields.List(fields.Nested(PerformanceSchema), required=True)
