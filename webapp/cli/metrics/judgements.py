"""``omninode metrics leaderboard``, ``compare``, ``recommend`` and ``regressions``: how good models are."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import click

from tasks.metrics.questions import answers, comparison, recommendation
from tasks.metrics.questions.recommendation import Constraints
from tasks.metrics.regressions.detection import METRICS
from tasks.metrics.regressions.model import STATES
from webapp.cli.command import SessionCommand, pass_session
from webapp.cli.listing import paged, write_page
from webapp.cli.metrics.options import chance, given, ms, percent, score, span, usd, windowed
from webapp.cli.session import Session
from webapp.metrics.question_arguments import filter_of, length_of, window_of

_ENTRY = ("rank", "model", "score", "executions", "success", "typical_ms", "p95_ms", "quality", "mean_usd", "assumed")
_COMPARISON = ("first", "second", "metric", "first_value", "second_value", "difference", "interval", "p", "verdict")
_REGRESSION = ("detected_at", "model", "task_type", "environment", "metric", "state", "baseline", "current",
               "worse_by", "executions", "resolution")  # fmt: skip


@click.command(cls=SessionCommand)
@windowed
@click.option("--min-executions", type=click.IntRange(1), default=recommendation.LEAST_EXECUTIONS, show_default=True)
@pass_session
def leaderboard(session: Session, /, min_executions: int, **options: Any) -> None:
    """Rank models for each task type.

    The score is the weighted mean of success, quality, speed and cost. Models that can't be told apart share a rank.
    """
    query = given(options)
    window = window_of(query)
    found = session.questions.leaderboard(window, filter_of(query), min_executions)
    answer = answers.leaderboard(window, found)
    if session.as_json:
        session.out.json(answer)
        return
    rows = [{"task_type": board["task_type"], **_entry(one)} for board in answer["items"] for one in board["entries"]]
    session.out.table(["task_type", *_ENTRY], rows, "no model with so many executions")
    session.out.note(span(answer["window"]))


@click.command(cls=SessionCommand)
@click.argument("model", nargs=-1, required=True)
@windowed
@click.option("--min-executions", type=click.IntRange(2), default=comparison.LEAST_EXECUTIONS, show_default=True)
@pass_session
def compare(session: Session, /, min_executions: int, **options: Any) -> None:
    """Compare two to twelve models, every pair by latency, success, quality and cost.

    p is adjusted for the number of comparisons (Holm); a verdict needs p of at most 0.05.
    """
    query = given(options)
    window = window_of(query)
    models, found = session.questions.compare(query["model"], window, filter_of(query), min_executions)
    answer = answers.compare(window, models, found, min_executions)
    if session.as_json:
        session.out.json(answer)
        return
    session.out.table(_COMPARISON, [_comparison(made) for made in answer["comparisons"]])
    session.out.note(span(answer["window"]))


@click.command(cls=SessionCommand)
@click.argument("task_type", required=False)
@click.option(
    "--model", "-m", "candidates", multiple=True, help="A candidate; many times. [default: all that were seen]"
)
@click.option("--max-latency-ms", type=click.FloatRange(0), help="Of the 95th percentile.")
@click.option("--max-cost-usd", type=click.FloatRange(0), help="Of an execution on average.")
@click.option("--min-quality", type=click.FloatRange(0, 1), help="On average.")
@click.option("--environment")
@click.option("--window", metavar="LENGTH", default="7d", show_default=True)
@click.option("--explore", is_flag=True, help="Sometimes choose another model than the best one.")
@click.option("--seed", type=int, help="The same seed makes the same choice.")
@pass_session
def recommend(
    session: Session,
    /,
    task_type: str | None,
    candidates: tuple[str, ...],
    environment: str | None,
    window: str,
    explore: bool,
    seed: int | None,
    **limits: float | None,
) -> None:
    """Recommend a model for TASK_TYPE (all types without it)."""
    constraints = Constraints(**limits)
    found = session.questions.recommend(
        task_type,
        constraints,
        candidates or None,
        environment=environment,
        length=length_of(window),
        random=Random(seed) if explore else None,  # noqa: S311 - for trying, not for secrecy
    )
    answer = answers.recommend(task_type, constraints, found)
    if session.as_json:
        session.out.json(answer)
        return
    session.out.table(_ENTRY, [_entry(entry) for entry in answer["items"]], "no model keeps the constraints")
    for one in answer["excluded"]:
        session.out.line(f"not {one['model']}: {'; '.join(one['reasons'])}", "dim")
    for one in answer["unexplored"]:
        session.out.line(f"not yet known: {one['model']}, {one['executions']} executions", "dim")
    if answer["choice"]:
        session.out.line(f"take {answer['choice']['model']} ({answer['choice']['how']})", "bold")


@click.command(cls=SessionCommand)
@click.option("--state", type=click.Choice(STATES))
@click.option("--model", "-m")
@click.option("--metric", type=click.Choice(METRICS))
@click.option("--task-type")
@click.option("--environment")
@paged
@pass_session
def regressions(session: Session, /, **query: Any) -> None:
    """List what became slower, worse, dearer or less reliable."""
    page = session.regressions.list(**query)
    if not session.as_json:
        page.items[:] = [_regression(row) for row in page.items]
    write_page(session, page, _REGRESSION, "no regressions")


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **entry,
        "score": f"{entry['score']:.3f} ±{1.96 * entry['score_error']:.3f}",
        "success": percent(entry["success_rate"]),
        "typical_ms": ms(entry["latency_ms"]["typical"]),
        "p95_ms": ms(entry["latency_ms"]["p95"]),
        "quality": score(entry["quality_score"]),
        "mean_usd": usd(entry["mean_cost_usd"]),
    }


def _comparison(made: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"latency": ms, "success_rate": percent, "quality": score, "cost": usd}[made["metric"]]
    change = percent if made["unit"] == "ratio" or made["metric"] == "success_rate" else shown
    known = made["difference"] is not None
    return {
        **made,
        "first_value": shown(made["first_value"]),
        "second_value": shown(made["second_value"]),
        "difference": change(made["difference"]),
        "interval": f"{change(made['interval_low'])} to {change(made['interval_high'])}" if known else None,
        "p": chance(made["adjusted_p_value"]),
        "verdict": made["verdict"].replace("_", " "),
    }


def _regression(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"latency": ms, "errors": percent, "quality": score, "cost": usd}[row["metric"]]
    change = score if row["metric"] == "quality" else percent
    return {
        **row,
        "baseline": shown(row["baseline"]),
        "current": shown(row["current"]),
        "worse_by": change(row["change"]),
    }
