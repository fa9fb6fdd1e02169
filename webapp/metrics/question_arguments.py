"""The query strings of questions about models, and the windows and filters that they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import Schema, fields, validate

from tasks.errors import FieldError, ValidationFailed
from tasks.metrics.model import TIERS
from tasks.metrics.questions.comparison import LEAST_EXECUTIONS
from tasks.metrics.questions.recommendation import LEAST_EXECUTIONS as LEAST_KNOWN
from tasks.metrics.questions.service import MOST_COMPARED
from tasks.metrics.questions.store import Filter
from tasks.metrics.questions.summary import DIMENSIONS
from tasks.metrics.questions.window import WIDTHS, Window
from tasks.metrics.regressions.detection import METRICS
from tasks.metrics.regressions.model import STATES
from tasks.paging import MAX_LIMIT
from webapp.validation import Whole

LENGTH = r"^(?:[1-9][0-9]{0,3}m|[1-9][0-9]{0,2}h|(?:[1-9][0-9]?|[1-3][0-9]{2})d)$"
DEFAULT_LENGTH = "24h"
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_TEXT = [validate.Length(1, 200), Whole(r"^[^\x00]+$", error="must not hold NUL")]


class WindowQuerySchema(Schema):
    """Which time, and which executions."""

    window = fields.String(
        validate=Whole(LENGTH, error="must be a length such as 15m, 24h or 30d"),
        metadata={"description": f"The length of time up to `until`: `15m`, `24h`, `30d`. [{DEFAULT_LENGTH}]"},
    )
    since = fields.AwareDateTime(format="iso", default_timezone=UTC, metadata={"description": "Instead of `window`."})
    until = fields.AwareDateTime(format="iso", default_timezone=UTC, metadata={"description": "[now]"})
    provider = fields.String(validate=_TEXT)
    task_type = fields.String(validate=_TEXT)
    tier = fields.String(validate=validate.OneOf(TIERS))
    environment = fields.String(validate=_TEXT)


class PerformanceQuerySchema(WindowQuerySchema):
    """Which executions, and by what they are grouped."""

    model = fields.List(
        fields.String(validate=_TEXT),
        validate=validate.Length(1, 100),
        metadata={"uniqueItems": True, "description": "May be given several times."},
    )
    group_by = fields.List(
        fields.String(validate=validate.OneOf(DIMENSIONS)),
        metadata={"uniqueItems": True, "description": "May be given several times. [model]"},
    )


class TimeseriesQuerySchema(PerformanceQuerySchema):
    """The same in buckets of time."""

    bucket_s = fields.Integer(
        validate=validate.OneOf([int(width.total_seconds()) for width in WIDTHS]),
        metadata={"description": "Seconds; at most 2,000 buckets. Without it there are about 50."},
    )


class LeaderboardQuerySchema(WindowQuerySchema):
    """Which executions, and how many a model needs."""

    min_executions = fields.Integer(load_default=LEAST_KNOWN, validate=validate.Range(1, 1_000_000))


class CompareQuerySchema(WindowQuerySchema):
    """Which models, and how many executions of each are enough."""

    model = fields.List(
        fields.String(validate=_TEXT),
        required=True,
        validate=validate.Length(2, MOST_COMPARED),
        metadata={"uniqueItems": True, "description": "Two to twelve, each given as `model=…`."},
    )
    min_executions = fields.Integer(load_default=LEAST_EXECUTIONS, validate=validate.Range(2, 1_000_000))


class RecommendationQuerySchema(Schema):
    """For what, among which, and under which constraints."""

    task_type = fields.String(validate=_TEXT)
    environment = fields.String(validate=_TEXT)
    model = fields.List(
        fields.String(validate=_TEXT),
        validate=validate.Length(1, 100),
        metadata={"uniqueItems": True, "description": "The candidates; without them all models that were seen."},
    )
    max_latency_ms = fields.Float(validate=validate.Range(0), metadata={"description": "Of the 95th percentile."})
    max_cost_usd = fields.Float(validate=validate.Range(0), metadata={"description": "Of an execution on average."})
    min_quality = fields.Float(validate=validate.Range(0, 1), metadata={"description": "On average."})
    window = fields.String(
        load_default="7d", validate=Whole(LENGTH, error="must be a length such as 15m, 24h or 30d")
    )
    explore = fields.Boolean(
        load_default=False, metadata={"description": "Sometimes choose another model than the best one."}
    )
    seed = fields.Integer(metadata={"description": "The same seed makes the same choice."})


class RegressionQuerySchema(Schema):
    """Which regressions to list."""

    state = fields.String(validate=validate.OneOf(STATES))
    model = fields.String(validate=_TEXT)
    metric = fields.String(validate=validate.OneOf(METRICS))
    task_type = fields.String(validate=_TEXT)
    environment = fields.String(validate=_TEXT)
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MAX_LIMIT))
    cursor = fields.String(
        validate=validate.Length(1, 500), metadata={"description": "From the `next` link of a page; opaque."}
    )


def window_of(query: Mapping[str, Any]) -> Window:
    """The window that ``query`` means. Raises ValidationFailed."""
    until = query.get("until") or datetime.now(UTC)
    if "since" not in query:
        return Window.last(length_of(query.get("window", DEFAULT_LENGTH)), until)
    if "window" in query:
        raise ValidationFailed("Which window?", errors=[FieldError("/since", "can't be given beside window")])
    return Window.between(query["since"], until)


def length_of(text: str) -> timedelta:
    """The length that a text of the form ``LENGTH`` means."""
    found = re.fullmatch(r"(\d+)([mhd])", text)
    if found is None:
        raise ValidationFailed("What length?", errors=[FieldError("/window", "must be such as 15m, 24h or 30d")])
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def filter_of(query: Mapping[str, Any]) -> Filter:
    """The filter that ``query`` means; ``model`` only where it is a filter there."""
    return Filter(
        models=query.get("model"),
        provider=query.get("provider"),
        task_type=query.get("task_type"),
        model_tier=query.get("tier"),
        environment=query.get("environment"),
    )
