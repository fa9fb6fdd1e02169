"""Registers every endpoint, and builds the OpenAPI description out of their schemas and marks."""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version

from flask import Flask
from flask_smorest import Api
from marshmallow import Schema, fields, validate

from webapp import problems
from webapp.blueprint import CORRELATION_HEADER, LIMIT_HEADERS
from webapp.docs.views import blueprint as docs
from webapp.health import checks
from webapp.health.views import blueprint as health
from webapp.hooks import views as hooks
from webapp.hooks.schemas import BatchSchema, FieldErrorSchema, ReplayManySchema
from webapp.json_provider import dumps
from webapp.lab import endpoint_views as lab_endpoints
from webapp.lab import views as lab
from webapp.metrics import question_views as models
from webapp.metrics import views as executions
from webapp.metrics.schemas import ExecutionBatchSchema
from webapp.otlp import views as otlp
from webapp.schedules import views as schedules
from webapp.services import of
from webapp.tasks_api.views import blueprint as tasks
from webapp.triggers import views as triggers
from webapp.workflows import control_views, definition_views, shared
from webapp.workflows import views as runs
from webapp.workflows.schemas import ChartSchema

_DESCRIPTION = """A webhook becomes a durable, handled job; every change of state is mirrored to PostgreSQL and Kafka.

Send an API key as `Authorization: Bearer <key>` or `X-API-Key`, or a JSON Web Token as `Bearer`; an operation names
the scope it needs in `x-scopes` (the scope `admin` includes all). Errors are `application/problem+json` (RFC 9457).
Every answer carries `X-Correlation-ID`: the request's `X-Correlation-ID`, `X-Request-ID`, `X-Trace-ID` or
`traceparent`, else a new one.
Text can't hold the NUL character, integers are at most 64 bits wide, and JSON is nested at most {depth} levels deep.
"""


class ProblemSchema(Schema):
    """What went wrong (RFC 9457)."""

    type = fields.String(required=True, metadata={"example": "urn:omninode-bridge:problem:INPUT_2"})
    title = fields.String(required=True, metadata={"example": "Validation failed"})
    status = fields.Integer(required=True, metadata={"example": 422})
    detail = fields.String(required=True, metadata={"example": "1 value is not valid; see errors."})
    instance = fields.String(required=True, metadata={"example": "/hooks"})
    code = fields.String(
        required=True,
        validate=validate.Regexp(r"^[A-Z][A-Z0-9_]*_\d{1,4}$"),
        metadata={"example": "INPUT_2"},
    )
    errors = fields.List(fields.Nested(FieldErrorSchema), required=True)


class BridgeApi(Api):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest's Api, with our problems in place of its own error format."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Ours are registered by ``webapp.problems``."""

    def _register_etag_headers(self) -> None:
        """We have no ETags."""

    def _register_pagination_header(self) -> None:
        """Our pages are linked in the body."""

    def _register_responses(self) -> None:
        for status in HTTPStatus:
            if status < 400:
                continue
            headers = dict(CORRELATION_HEADER)
            if status in (429, 503):
                headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
            if status == 429:
                headers |= LIMIT_HEADERS
            if status in (401, 403):
                headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WWWAuthenticate"}
            response = {
                "description": status.phrase,
                "headers": headers,
                "content": {problems.CONTENT_TYPE: {"schema": ProblemSchema}},
            }
            self.spec.components.response(status.name, response, lazy=True)


def install(app: Flask) -> None:
    """Registers the blueprints on ``app`` and writes its OpenAPI description."""
    app.config.update(API_TITLE="OmniNode Bridge", API_VERSION=_version(), OPENAPI_VERSION="3.0.3")
    description = _DESCRIPTION.format(depth=of(app).settings.json_max_depth)
    api = BridgeApi(app, spec_kwargs={"info": {"description": description}})
    _describe_shared(api)
    hooks.install(app)
    shared.install(app)
    executions.install(app)
    otlp.install(app)
    checks.install(app)
    lab.install(app)
    for blueprint in (
        hooks.blueprint,
        control_views.blueprint,
        definition_views.blueprint,
        runs.blueprint,
        tasks,
        health,
        models.blueprint,
        executions.blueprint,
        otlp.blueprint,
        lab.blueprint,
        lab_endpoints.blueprint,
        schedules.blueprint,
        triggers.blueprint,
    ):
        api.register_blueprint(blueprint)
    app.register_blueprint(docs)
    app.extensions["bridge-openapi"] = dumps(api.spec.to_dict()).decode()


def _version() -> str:
    try:
        return version("omninode-bridge")
    except PackageNotFoundError:
        return "0"


def _describe_shared(api: BridgeApi) -> None:
    components = api.spec.components
    components.schema("Batch", schema=BatchSchema)
    components.schema("ExecutionBatch", schema=ExecutionBatchSchema)
    components.schema("Chart", schema=ChartSchema)
    components.schema("ReplayMany", schema=ReplayManySchema)
    components.security_scheme(
        "bearerKey", {"type": "http", "scheme": "bearer", "description": "An API key, `omni_…`, or a JSON Web Token."}
    )
    components.security_scheme("headerKey", {"type": "apiKey", "in": "header", "name": "X-API-Key"})
    text, number = {"type": "string"}, {"type": "integer", "minimum": 1}
    components.header("CorrelationId", {"description": "Names this request.", "required": True, "schema": text})
    components.header("RateLimitPolicy", {"description": "The limit: q requests in w seconds.", "schema": text})
    components.header("RateLimit", {"description": "r requests are left for t seconds.", "schema": text})
    components.header("RetryAfter", {"description": "Seconds to wait.", "required": True, "schema": number})
    components.header("WWWAuthenticate", {"description": "RFC 6750.", "required": True, "schema": text})
    components.parameter(
        "CorrelationId",
        "header",
        {
            "name": "X-Correlation-ID",
            "description": "Ties this request to others: 1 to 128 of `A-Z a-z 0-9 . _ : / -`; another is replaced.",
            "schema": text,
        },
    )
