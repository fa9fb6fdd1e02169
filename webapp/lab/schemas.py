"""The shapes of the lab on the wire."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from tasks.lab.forms import MAX_TIMEOUT_S
from tasks.lab.model import CIRCUIT_STATES, ENDPOINT_STATES, FALLBACKS, KINDS, TIERS
from tasks.lab.requests import COMPARISON_STATES, STATES
from webapp.hooks.schemas import FieldErrorSchema
from webapp.validation import Whole

MAX_MODELS = 20
SYNC_TIMEOUT_S = 300.0
_PROMPT_LIMIT = 1_000_000
_NAME = r"^\S(?:[^\x00-\x1f\x7f]{0,198}\S)?$"


def _name(description: str, **more: object) -> fields.String:
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
    task_type = _name("What kind of task it is, such as `documentation`.", load_default="general_reasoning")
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

    model = _name("This model, and no other unless `fallback` is given.")
    tier = fields.String(validate=validate.OneOf(TIERS), metadata={"description": "Where the choice begins."})
    max_latency_ms = fields.Float(validate=validate.Range(0.001))
    max_cost_usd = fields.Float(validate=validate.Range(0))
    min_quality = fields.Float(validate=validate.Range(0, 1))
    fallback = fields.String(
        validate=validate.OneOf(FALLBACKS), metadata={"description": "Who is asked next when one fails."}
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

    models = fields.List(_name("A model's name."), required=True, validate=validate.Length(2, MAX_MODELS))
    timeout_s = fields.Float(
        load_default=60.0,
        validate=validate.Range(0.001, SYNC_TIMEOUT_S),
        metadata={"description": "Whoever has not answered by then does not count."},
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
        _name("A name, or a pattern such as `llama3*`."),
        validate=validate.Length(0, 1000),
        metadata={"description": "Which of its models may be used; all if not given."},
    )
    model_tiers = fields.Dict(
        keys=_name("A name or a pattern."),
        values=fields.String(validate=validate.OneOf(TIERS)),
        metadata={"description": "Tiers of models that have another than the endpoint's."},
    )
    provider = _name("Whom its executions are recorded under; by default the kind.")
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
        required=True, allow_none=True, metadata={"description": "Under way now; null where Redis does not say."}
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
    available = fields.Boolean(required=True, metadata={"description": "Whether one of its endpoints takes calls."})
    endpoints = fields.List(fields.Nested(ModelPlaceSchema), required=True)


class ModelsSchema(Schema):
    """All models, by name."""

    items = fields.List(fields.Nested(ModelSchema), required=True)


class ReportQuerySchema(Schema):
    """Which time to report on."""

    hours = fields.Float(load_default=24.0, validate=validate.Range(0.01, 168))


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
    success_rate = fields.Float(required=True)
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
