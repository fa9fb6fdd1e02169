"""The shapes of questions, answers and comparisons on the wire; ``endpoint_schemas`` has those of endpoints."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from tasks.lab.forms import MAX_TIMEOUT_S
from tasks.lab.model import FALLBACKS, TIERS
from tasks.lab.requests import COMPARISON_STATES, STATES
from webapp.hooks.schemas import FieldErrorSchema
from webapp.validation import Whole

MAX_MODELS = 20
SYNC_TIMEOUT_S = 300.0
_PROMPT_LIMIT = 1_000_000
_NAME = r"^\S(?:[^\x00-\x1f\x7f]{0,198}\S)?$"


def name_field(description: str, **more: object) -> fields.String:
    """A name that is shown to people."""
    return fields.String(
        validate=[validate.Length(1, 200), Whole(_NAME, error="must be printable, without space at either end")],
        metadata={"description": description},
        **more,  # type: ignore[arg-type]
    )


class ScorerSchema(Schema):
    """A scorer with its arguments."""

    name = fields.String(
        required=True,
        validate=validate.Length(1, 100),
        metadata={
            "description": "`schema`, `keywords`, `length`, `exact`, `pattern`, `judge`, or one of your own.",
            "example": "keywords",
        },
    )
    arguments = fields.Dict(
        keys=fields.String(), load_default=dict, metadata={"example": {"words": ["durable", "journal"]}}
    )
    weight = fields.Float(load_default=1.0, validate=validate.Range(0.001, 1000))


class QuestionSchema(Schema):
    """What is asked, and what the answer must be."""

    prompt = fields.String(required=True, validate=validate.Length(1, _PROMPT_LIMIT), metadata={"example": "Say hi."})
    system = fields.String(validate=validate.Length(0, 100_000))
    task_type = name_field("What kind of task it is, such as `documentation`.", load_default="general_reasoning")
    temperature = fields.Float(validate=validate.Range(0, 2))
    max_tokens = fields.Integer(validate=validate.Range(1, 1_000_000))
    json = fields.Boolean(load_default=False, metadata={"description": "The answer must be JSON."})
    expect = fields.Dict(
        keys=fields.String(),
        metadata={
            "description": "What the answer must be, as a workflow's step has it; an answer that misses is a failed "
            "attempt.",
            "example": {"min_length": 2, "forbidden_words": ["sorry"]},
        },
    )
    scorers = fields.List(fields.Nested(ScorerSchema), validate=validate.Length(1, 20))
    metadata = fields.Dict(
        keys=fields.String(), metadata={"description": "Kept with every recorded attempt."}, load_default=dict
    )


class ExecuteSchema(QuestionSchema):
    """A question, and how the model is chosen."""

    model = name_field("This model, and no other unless `fallback` is given.")
    tier = fields.String(
        validate=validate.OneOf(TIERS), metadata={"description": "The tier in which the choice begins."}
    )
    max_latency_ms = fields.Float(validate=validate.Range(0.001))
    max_cost_usd = fields.Float(validate=validate.Range(0))
    min_quality = fields.Float(validate=validate.Range(0, 1))
    fallback = fields.String(
        validate=validate.OneOf(FALLBACKS), metadata={"description": "Which model is asked next when one fails."}
    )
    timeout_s = fields.Float(
        load_default=60.0,
        validate=validate.Range(0.001, MAX_TIMEOUT_S),
        metadata={"description": f"Of the whole question; at most {SYNC_TIMEOUT_S:g} unless `async`."},
    )
    stream = fields.Boolean(
        load_default=False, metadata={"description": "Answer as server-sent events, while the model speaks."}
    )
    async_ = fields.Boolean(
        data_key="async", load_default=False, metadata={"description": "Answer 202 at once; a worker carries it."}
    )


class CompareSchema(QuestionSchema):
    """One question to several models."""

    models = fields.List(name_field("A model's name."), required=True, validate=validate.Length(2, MAX_MODELS))
    timeout_s = fields.Float(
        load_default=60.0,
        validate=validate.Range(0.001, SYNC_TIMEOUT_S),
        metadata={"description": "A model that has not answered by then does not count."},
    )
    async_ = fields.Boolean(data_key="async", load_default=False, metadata={"description": "Answer 202 at once."})


class LabAttemptSchema(Schema):
    """One try with one model, recorded as a model execution."""

    execution_id = fields.String(required=True)
    model = fields.String(required=True)
    endpoint = fields.String(required=True)
    provider = fields.String(required=True)
    tier = fields.String(required=True, validate=validate.OneOf(TIERS))
    started_at = fields.String(required=True)
    completed_at = fields.String(required=True)
    latency_ms = fields.Float(required=True)
    first_token_latency_ms = fields.Float(required=True, allow_none=True)
    input_tokens = fields.Integer(required=True, allow_none=True)
    output_tokens = fields.Integer(required=True, allow_none=True)
    success = fields.Boolean(required=True)
    error_type = fields.String(required=True, allow_none=True)
    error_message = fields.String(required=True, allow_none=True)
    quality_score = fields.Float(required=True, allow_none=True)
    retry_count = fields.Integer(required=True)
    escalated_to_tier = fields.String(required=True, allow_none=True)


class AnswerSchema(Schema):
    """The answer of the attempt that succeeded, and all attempts."""

    text = fields.String(required=True)
    value = fields.Raw(required=True, allow_none=True, metadata={"description": "What the text says as JSON."})
    model = fields.String(required=True)
    endpoint = fields.String(required=True)
    provider = fields.String(required=True)
    tier = fields.String(required=True)
    finish_reason = fields.String(required=True, allow_none=True)
    input_tokens = fields.Integer(required=True, allow_none=True)
    output_tokens = fields.Integer(required=True, allow_none=True)
    latency_ms = fields.Float(required=True)
    first_token_latency_ms = fields.Float(required=True, allow_none=True)
    total_ms = fields.Float(required=True)
    quality_score = fields.Float(required=True, allow_none=True)
    scores = fields.Dict(required=True, keys=fields.String())
    cost_usd = fields.Float(required=True, allow_none=True, metadata={"description": "null: no price is known."})
    attempts = fields.List(fields.Nested(LabAttemptSchema), required=True)


class SelfLinkSchema(Schema):
    """Where to look."""

    self_ = fields.String(data_key="self", attribute="self", required=True)


class AcceptedQuestionSchema(Schema):
    """A question or comparison that is durable now."""

    id = fields.UUID(required=True)
    state = fields.String(required=True)
    links = fields.Nested(SelfLinkSchema, required=True)


class CarriedQuestionSchema(Schema):
    """A question that a worker carries."""

    id = fields.UUID(required=True)
    comparison_id = fields.UUID(required=True, allow_none=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    attempt = fields.Integer(required=True, metadata={"description": "How many workers took it."})
    timeout_s = fields.Float(required=True)
    correlation_id = fields.String(required=True)
    answer = fields.Nested(AnswerSchema, required=True, allow_none=True)
    error_code = fields.String(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    errors = fields.List(fields.Nested(FieldErrorSchema), required=True, allow_none=True)
    created_at = fields.DateTime(required=True, format="iso")
    started_at = fields.DateTime(required=True, format="iso", allow_none=True)
    finished_at = fields.DateTime(required=True, format="iso", allow_none=True)


class ComparedSchema(Schema):
    """What one model made of the question."""

    model = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    answer = fields.Nested(AnswerSchema, required=True, allow_none=True)
    error_code = fields.String(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    errors = fields.List(fields.Nested(FieldErrorSchema), required=True, allow_none=True)


class ComparisonSchema(Schema):
    """A comparison, with what is there so far."""

    id = fields.UUID(required=True)
    state = fields.String(required=True, validate=validate.OneOf(COMPARISON_STATES))
    models = fields.List(fields.String(), required=True)
    correlation_id = fields.String(required=True)
    deadline_at = fields.DateTime(required=True, format="iso")
    created_at = fields.DateTime(required=True, format="iso")
    finished_at = fields.DateTime(required=True, format="iso", allow_none=True)
    best = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Of the highest quality, of equal ones the fastest; null without an answer."},
    )
    results = fields.List(fields.Nested(ComparedSchema), required=True)
