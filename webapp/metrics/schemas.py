"""The shapes of executions and batches on the wire."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, fields, validate

from tasks.metrics.model import (
    MAX_BATCH,
    MAX_COST_USD,
    MAX_COUNT,
    MAX_MS,
    MAX_RETRIES,
    MESSAGE_LIMIT,
    NAME_LIMIT,
    SOURCES,
    TASK_TYPES,
    TIERS,
)
from webapp.hooks.schemas import FieldErrorSchema
from webapp.metrics.strict_fields import MomentField, StrictBoolean, StrictInteger, StrictNumber


def _name(description: str, example: str | None = None, **more: Any) -> fields.String:
    shown: dict[str, Any] = {"description": description}
    if example is not None:
        shown["example"] = example
    return fields.String(validate=validate.Length(1, NAME_LIMIT), metadata=shown, **more)


def _optional(description: str) -> fields.String:
    return _name(description, allow_none=True, load_default=None)


def _ms(description: str, **more: Any) -> StrictNumber:
    return StrictNumber(validate=validate.Range(0, MAX_MS), metadata={"description": description}, **more)


def _count(description: str, **more: Any) -> StrictInteger:
    return StrictInteger(validate=validate.Range(0, MAX_COUNT), metadata={"description": description}, **more)


class ExecutionSchema(Schema):
    """One call of a model. OpenTelemetry's names (`gen_ai.request.model`, `gen_ai.usage.input_tokens`) pass too."""

    class Meta:
        """Refuses what it does not know."""

        unknown = RAISE

    execution_id = _name("Names the execution: a repeat counts once.", "e-8f14e45f", required=True)
    model = _name("The model that was asked.", "llama-3.3-70b", required=True)
    task_type = _name(f"{', '.join(TASK_TYPES)}, or one of your own.", "code_review", required=True)
    started_at = MomentField(
        required=True, metadata={"description": "When it began (RFC 3339).", "example": "2026-03-01T12:30:15.250Z"}
    )
    latency_ms = _ms("How long it took.", required=True)
    input_tokens = _count("Tokens of the prompt.", required=True)
    output_tokens = _count("Tokens of the answer.", required=True)
    success = StrictBoolean(required=True)
    model_tier = fields.String(load_default="custom", validate=validate.OneOf(TIERS))
    provider = _optional("Who serves the model.")
    environment = _name("Where the caller runs.", load_default="development")
    endpoint = fields.String(allow_none=True, load_default=None, validate=validate.Length(1, MESSAGE_LIMIT))
    completed_at = MomentField(allow_none=True, load_default=None)
    first_token_latency_ms = _ms("How long the first token took.", allow_none=True, load_default=None)
    context_size = _count("The size of the context window, tokens.", allow_none=True, load_default=None)
    task_complexity = _optional("simple, moderate, complex, critical, or one of your own.")
    error_type = _optional("What kind of failure it was, such as timeout: few different ones, they are counted.")
    error_message = fields.String(allow_none=True, load_default=None, validate=validate.Length(0, MESSAGE_LIMIT))
    quality_score = StrictNumber(allow_none=True, load_default=None, validate=validate.Range(0, 1))
    user_satisfaction = StrictNumber(allow_none=True, load_default=None, validate=validate.Range(1, 5))
    retry_count = StrictInteger(load_default=0, validate=validate.Range(0, MAX_RETRIES))
    escalated_to_tier = fields.String(allow_none=True, load_default=None, validate=validate.OneOf(TIERS))
    cost_usd = StrictNumber(
        allow_none=True,
        load_default=None,
        validate=validate.Range(0, MAX_COST_USD),
        metadata={"description": "What it cost; by default the price table says."},
    )
    metadata = fields.Dict(keys=fields.String(), load_default=dict)


class ExecutionBatchSchema(Schema):
    """A batch of executions."""

    class Meta:
        """Refuses what it does not know."""

        unknown = RAISE

    executions = fields.List(fields.Nested(ExecutionSchema), required=True, validate=validate.Length(1, MAX_BATCH))


class RecordedSchema(Schema):
    """An execution that is recorded."""

    index = fields.Integer(required=True)
    id = fields.String(required=True, metadata={"description": "Its `execution_id`."})
    status = fields.Integer(required=True, metadata={"example": 202})
    duplicate = fields.Boolean(
        required=True, metadata={"description": "It was recorded before; the repeat does not count."}
    )


class RefusedSchema(Schema):
    """An execution that is not valid; the others are not touched by it."""

    index = fields.Integer(required=True)
    status = fields.Integer(required=True, metadata={"example": 422})
    code = fields.String(required=True)
    detail = fields.String(required=True)
    errors = fields.List(
        fields.Nested(FieldErrorSchema), required=True, metadata={"description": "Pointers are relative to the item."}
    )


class RecordedBatchSchema(Schema):
    """What became of each execution, by its place; and the batch, whose state says whether the rollups hold it."""

    batch_id = fields.UUID(required=True, allow_none=True, metadata={"description": "Null if nothing was new."})
    successes = fields.List(fields.Nested(RecordedSchema), required=True)
    errors = fields.List(fields.Nested(RefusedSchema), required=True)


class BatchStateSchema(Schema):
    """How far a batch is. ``closed``: the rollups hold all of it."""

    id = fields.UUID(required=True)
    source = fields.String(required=True, validate=validate.OneOf(SOURCES))
    state = fields.String(required=True, validate=validate.OneOf(("received", "closed")))
    submitted = fields.Integer(required=True)
    recorded = fields.Integer(required=True, metadata={"description": "How many of them were new."})
    counted = fields.Integer(
        required=True, allow_none=True, metadata={"description": "The rows found when it was closed."}
    )
    chunks = fields.Integer(required=True)
    chunks_applied = fields.Integer(required=True)
    correlation_id = fields.String(required=True, allow_none=True)
    received_at = fields.DateTime(required=True, format="iso")
    closed_at = fields.DateTime(required=True, format="iso", allow_none=True)
