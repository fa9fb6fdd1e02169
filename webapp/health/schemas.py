"""The shapes of health answers."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from webapp.health.probes import DEGRADED, HEALTHY, UNHEALTHY

_STATUS = validate.OneOf([HEALTHY, DEGRADED, UNHEALTHY])


class DependencySchema(Schema):
    """How one dependency is."""

    status = fields.String(required=True, validate=_STATUS)
    latency_ms = fields.Float(required=True)
    detail = fields.String(required=True, allow_none=True)


class DependenciesSchema(Schema):
    """What the service depends on."""

    postgresql = fields.Nested(DependencySchema, required=True)
    redis = fields.Nested(DependencySchema, required=True)
    kafka = fields.Nested(DependencySchema, required=True)


class HealthSchema(Schema):
    """How the service is as a whole: as bad as PostgreSQL, and degraded where another dependency is not healthy."""

    status = fields.String(required=True, validate=_STATUS)
    service = fields.String(required=True)
    checks = fields.Nested(DependenciesSchema, required=True)


class LiveSchema(Schema):
    """The process answers."""

    status = fields.String(required=True, validate=validate.OneOf(["alive"]))


class ReadySchema(Schema):
    """Whether requests would be accepted."""

    status = fields.String(required=True, validate=validate.OneOf(["ready", "not_ready"]))
    postgresql = fields.Nested(DependencySchema, required=True)
