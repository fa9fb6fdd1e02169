"""The shapes of answers to questions about models."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from tasks.metrics.questions.comparison import VERDICTS
from tasks.metrics.regressions.detection import METRICS
from tasks.metrics.regressions.model import RESOLUTIONS, STATES


def _moment(**options: Any) -> fields.DateTime:
    return fields.DateTime(required=True, format="iso", **options)


def _number(**options: Any) -> fields.Float:
    return fields.Float(required=True, allow_none=True, **options)


class WindowSchema(Schema):
    """The time that was looked at, from `since` to before `until`."""

    since = _moment()
    until = _moment()


class LatencySchema(Schema):
    """Milliseconds. Percentiles are within 1 %; of what OTLP told in buckets, within the bucket at worst."""

    mean = _number()
    p50 = _number()
    p90 = _number()
    p95 = _number()
    p99 = _number()


class FiguresSchema(Schema):
    """What executions add up to. What nobody measured is null."""

    count = fields.Integer(required=True)
    success_rate = _number()
    latency_ms = fields.Nested(LatencySchema, required=True)
    first_token_latency_ms = fields.Nested(LatencySchema, required=True)
    tokens_per_second = _number()
    input_tokens = fields.Integer(required=True)
    output_tokens = fields.Integer(required=True)
    quality_score = _number()
    quality_count = fields.Integer(required=True)
    user_satisfaction = _number()
    cost_usd = _number(metadata={"description": "The sum of what is known; null if nothing is."})
    priced_count = fields.Integer(required=True)
    unpriced_count = fields.Integer(
        required=True, metadata={"description": "Executions with neither a cost of their own nor a price."}
    )
    retries = fields.Integer(required=True)
    escalations = fields.Integer(required=True)


class PerformanceItemSchema(FiguresSchema):
    """One group, named by what was grouped by."""

    model = fields.String()
    provider = fields.String(metadata={"description": "Empty if the executions did not name it."})
    task_type = fields.String()
    model_tier = fields.String()
    environment = fields.String()


class ModelPerformanceSchema(Schema):
    """A group's figures each, in the groups' order."""

    items = fields.List(fields.Nested(PerformanceItemSchema), required=True)
    window = fields.Nested(WindowSchema, required=True)


class PointSchema(FiguresSchema):
    """The figures of one bucket of time, which begins at `at`."""

    at = _moment()


class SeriesSchema(Schema):
    """The points of one group that have any executions, in order."""

    model = fields.String()
    provider = fields.String()
    task_type = fields.String()
    model_tier = fields.String()
    environment = fields.String()
    points = fields.List(fields.Nested(PointSchema), required=True)


class TimeseriesSchema(Schema):
    """A series for each group, in a window of whole buckets."""

    items = fields.List(fields.Nested(SeriesSchema), required=True)
    window = fields.Nested(WindowSchema, required=True)
    bucket_s = fields.Integer(required=True)


class EvidenceLatencySchema(Schema):
    """Milliseconds; `typical` is the geometric mean."""

    typical = _number()
    p50 = _number()
    p95 = _number()


class EvidenceSchema(Schema):
    """What is known of a model."""

    model = fields.String(required=True)
    executions = fields.Integer(required=True)
    success_rate = _number()
    success_interval = fields.List(
        fields.Float(), required=True, allow_none=True, metadata={"description": "95 %, by Wilson's method."}
    )
    latency_ms = fields.Nested(EvidenceLatencySchema, required=True)
    quality_score = _number()
    quality_count = fields.Integer(required=True)
    mean_cost_usd = _number()
    priced_count = fields.Integer(required=True)
    unpriced_count = fields.Integer(required=True)


class PartsSchema(Schema):
    """Each from 0 to 1. Speed and cost are 0.5 for what is typical of the models that were scored together."""

    success = fields.Float()
    quality = fields.Float()
    speed = fields.Float()
    cost = fields.Float()


class EntrySchema(EvidenceSchema):
    """A model's place. Models that can't be told apart share a rank."""

    rank = fields.Integer(required=True)
    score = fields.Float(required=True, metadata={"description": "The weighted mean of the parts."})
    score_error = fields.Float(required=True, metadata={"description": "The score's standard error."})
    parts = fields.Nested(PartsSchema, required=True)
    assumed = fields.List(
        fields.String(), required=True, metadata={"description": "Parts that are not known: the others' median."}
    )


class BoardSchema(Schema):
    """The models of one task type, the best first."""

    task_type = fields.String(required=True)
    entries = fields.List(fields.Nested(EntrySchema), required=True)


class LeaderboardSchema(Schema):
    """A board for each task type."""

    items = fields.List(fields.Nested(BoardSchema), required=True)
    weights = fields.Nested(PartsSchema, required=True)
    window = fields.Nested(WindowSchema, required=True)


class ModelComparisonSchema(Schema):
    """`first` against `second` by one metric. `difference` is first minus second; of latency, its share of second."""

    metric = fields.String(required=True, validate=validate.OneOf(["latency", "success_rate", "quality", "cost"]))
    test = fields.String(required=True)
    unit = fields.String(required=True, validate=validate.OneOf(["ratio", "difference", "usd"]))
    first = fields.String(required=True)
    second = fields.String(required=True)
    first_value = _number()
    second_value = _number()
    first_count = fields.Integer(required=True)
    second_count = fields.Integer(required=True)
    verdict = fields.String(required=True, validate=validate.OneOf(VERDICTS))
    difference = _number()
    interval_low = _number(metadata={"description": "The 95 % interval of the difference."})
    interval_high = _number()
    p_value = _number()
    adjusted_p_value = _number(metadata={"description": "By Holm's method, for all comparisons of this answer."})


class ModelComparisonsSchema(Schema):
    """Every pair of models by every metric."""

    models = fields.List(fields.Nested(EvidenceSchema), required=True)
    comparisons = fields.List(fields.Nested(ModelComparisonSchema), required=True)
    min_executions = fields.Integer(required=True)
    confidence = fields.Float(required=True)
    correction = fields.String(required=True)
    significance = fields.Float(required=True)
    window = fields.Nested(WindowSchema, required=True)


class ConstraintsSchema(Schema):
    """What was asked for."""

    max_latency_ms = _number()
    max_cost_usd = _number()
    min_quality = _number()


class ChoiceSchema(Schema):
    """Whom to take this time."""

    model = fields.String(required=True)
    how = fields.String(required=True, validate=validate.OneOf(["best", "sampled", "explored"]))


class ExcludedSchema(EvidenceSchema):
    """A model that breaks a constraint, or of which it is not known."""

    reasons = fields.List(fields.String(), required=True)


class RecommendationSchema(Schema):
    """Models that keep the constraints, the best first, and what became of the others."""

    task_type = fields.String(required=True, allow_none=True)
    constraints = fields.Nested(ConstraintsSchema, required=True)
    choice = fields.Nested(ChoiceSchema, required=True, allow_none=True)
    items = fields.List(fields.Nested(EntrySchema), required=True)
    excluded = fields.List(fields.Nested(ExcludedSchema), required=True)
    unexplored = fields.List(
        fields.Nested(EvidenceSchema), required=True, metadata={"description": "Fewer than five executions."}
    )
    weights = fields.Nested(PartsSchema, required=True)


class RegressionSchema(Schema):
    """What became worse: values are geometric mean milliseconds, an error rate, a mean score, or mean USD."""

    id = fields.UUID(required=True)
    model = fields.String(required=True)
    task_type = fields.String(required=True)
    environment = fields.String(required=True)
    metric = fields.String(required=True, validate=validate.OneOf(METRICS))
    stretch = fields.String(required=True, validate=validate.OneOf(["hour", "day"]))
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    since = _moment(metadata={"description": "The beginning of the period that showed it."})
    detected_at = _moment()
    baseline = fields.Float(required=True)
    current = fields.Float(required=True)
    change = fields.Float(
        required=True, metadata={"description": "For the worse: a share for latency and cost, else a difference."}
    )
    p_value = fields.Float(required=True)
    executions = fields.Integer(required=True)
    baseline_executions = fields.Integer(required=True)
    resolved_at = _moment(allow_none=True)
    resolution = fields.String(required=True, allow_none=True, validate=validate.OneOf([*RESOLUTIONS, None]))
    resolved_value = _number()


class RegressionPageSchema(Schema):
    """A page of regressions, the last detected first."""

    items = fields.List(fields.Nested(RegressionSchema), required=True)
    next = fields.String(required=True, allow_none=True, metadata={"description": "The next page; null on the last."})
