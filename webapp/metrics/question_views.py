"""The endpoints that answer questions about models. Read with the scope ``metrics:read``."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

from tasks.metrics.questions import answers
from tasks.metrics.questions.recommendation import Constraints
from webapp.auth import require
from webapp.blueprint import ApiBlueprint, problems
from webapp.metrics import question_arguments as arguments
from webapp.metrics import question_schemas as schemas
from webapp.metrics.question_arguments import filter_of, length_of, window_of
from webapp.paging import cursor_of, next_link
from webapp.services import services

blueprint = ApiBlueprint("models", description="Which model is best for what, with evidence.")

_BY_MODEL = ("model",)


@blueprint.route("/metrics/performance", methods=["GET"])
@require("metrics:read")
@problems(422)
@blueprint.arguments(arguments.PerformanceQuerySchema(), location="query")
@blueprint.response(200, schemas.ModelPerformanceSchema())
def get_performance(query: dict[str, Any]) -> dict[str, Any]:
    """Show how models perform

    From rollups, exact to the minute; percentiles within 1 %, and, of what OTLP told in explicit buckets, a few
    percent off as a rule and by the width of the bucket at worst. A window of a day or more begins with a whole hour.
    """
    window = window_of(query)
    found = services().questions.performance(window, query.get("group_by", _BY_MODEL), filter_of(query))
    return answers.performance(window, found)


@blueprint.route("/metrics/timeseries", methods=["GET"])
@require("metrics:read")
@problems(422)
@blueprint.arguments(arguments.TimeseriesQuerySchema(), location="query")
@blueprint.response(200, schemas.TimeseriesSchema())
def get_timeseries(query: dict[str, Any]) -> dict[str, Any]:
    """Show how models performed over time

    The window is widened to whole buckets. A bucket without executions has no point.
    """
    width = timedelta(seconds=query["bucket_s"]) if "bucket_s" in query else None
    window, width, found = services().questions.timeseries(
        window_of(query), query.get("group_by", _BY_MODEL), filter_of(query), width
    )
    return answers.timeseries(window, width, found)


@blueprint.route("/metrics/leaderboard", methods=["GET"])
@require("metrics:read")
@problems(422)
@blueprint.arguments(arguments.LeaderboardQuerySchema(), location="query")
@blueprint.response(200, schemas.LeaderboardSchema())
def get_leaderboard(query: dict[str, Any]) -> dict[str, Any]:
    """Rank models by task type

    The score is the weighted mean of success, quality, speed and cost, each from 0 to 1: speed and cost are
    `t / (t + x)`, where `t` is the median of the models that are ranked. Models whose scores can't be told apart
    share a rank.
    """
    window = window_of(query)
    found = services().questions.leaderboard(window, filter_of(query), query["min_executions"])
    return answers.leaderboard(window, found)


@blueprint.route("/metrics/compare", methods=["GET"])
@require("metrics:read")
@problems(422)
@blueprint.arguments(arguments.CompareQuerySchema(), location="query")
@blueprint.response(200, schemas.ModelComparisonsSchema())
def get_comparison(query: dict[str, Any]) -> dict[str, Any]:
    """Compare models two by two

    Latency by Welch's t test on logarithms, the success rate by Miettinen and Nurminen's score test, quality and cost
    by Welch's t test; each with a 95 % interval. p-values are adjusted by Holm's method, and executions are taken as
    independent of each other. What OTLP told in explicit buckets shifts a latency by up to half a percent as a rule:
    a difference below that, however significant among many executions, may be of the buckets.
    """
    window, least = window_of(query), query["min_executions"]
    models, found = services().questions.compare(query["model"], window, filter_of(query), least)
    return answers.compare(window, models, found, least)


@blueprint.route("/metrics/recommendations", methods=["GET"])
@require("metrics:read")
@problems(422)
@blueprint.arguments(arguments.RecommendationQuerySchema(), location="query")
@blueprint.response(200, schemas.RecommendationSchema())
def get_recommendations(query: dict[str, Any]) -> dict[str, Any]:
    """Recommend a model

    Models that keep the constraints and have at least five executions, the best first. With `explore` the choice is
    Thompson sampling, and now and then a model of which too little is known. The evidence is up to 10 s old.
    """
    constraints = Constraints(query.get("max_latency_ms"), query.get("max_cost_usd"), query.get("min_quality"))
    task_type = query.get("task_type")
    found = services().questions.recommend(
        task_type,
        constraints,
        query.get("model"),
        environment=query.get("environment"),
        length=length_of(query["window"]),
        random=Random(query.get("seed")) if query["explore"] else None,  # noqa: S311 - for trying, not for secrecy
    )
    return answers.recommend(task_type, constraints, found)


@blueprint.route("/metrics/regressions", methods=["GET"])
@require("metrics:read")
@problems(422)
@blueprint.arguments(arguments.RegressionQuerySchema(), location="query")
@blueprint.response(200, schemas.RegressionPageSchema())
def list_regressions(query: dict[str, Any]) -> dict[str, Any]:
    """List regressions

    Models that became slower, worse, dearer or less reliable than they used to be, the last detected first.
    """
    page = services().regressions.list(**{**query, "cursor": cursor_of(query, 2)})
    return {"items": page.items, "next": next_link(page)}
