"""``omninode metrics performance`` and ``timeseries``: what models did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from tasks.metrics.questions import answers
from tasks.metrics.questions.summary import DIMENSIONS
from tasks.metrics.questions.window import WIDTHS
from webapp.cli.command import SessionCommand, pass_session
from webapp.cli.metrics.options import given, minutes, ms, percent, score, span, usd, windowed
from webapp.cli.session import Session
from webapp.metrics.question_arguments import filter_of, window_of

_COLUMNS = ("count", "success", "p50_ms", "p95_ms", "p99_ms", "first_token_p50_ms", "tokens_per_s", "quality",
            "cost_usd", "unpriced")  # fmt: skip
_BY = click.option(
    "--by", "group_by", multiple=True, type=click.Choice(DIMENSIONS), help="Many times. [default: model]"
)
_MODEL = click.option("--model", "-m", multiple=True, help="Only this one; may be given many times.")


@click.command(cls=SessionCommand)
@windowed
@_MODEL
@_BY
@pass_session
def performance(session: Session, /, group_by: tuple[str, ...], **options: Any) -> None:
    """Latency, success, quality and cost of models."""
    query = given(options)
    by = group_by or ("model",)
    window = window_of(query)
    answer = answers.performance(window, session.questions.performance(window, by, filter_of(query)))
    if session.as_json:
        session.out.json(answer)
        return
    session.out.table([*by, *_COLUMNS], [_row(item) for item in answer["items"]], "no executions")
    session.out.note(span(answer["window"]))


@click.command(cls=SessionCommand)
@windowed
@_MODEL
@_BY
@click.option(
    "--bucket", "bucket_s", type=click.Choice([f"{width.total_seconds():g}" for width in WIDTHS]),
    help="Seconds. [default: such that there are about 50]",
)  # fmt: skip
@pass_session
def timeseries(session: Session, /, group_by: tuple[str, ...], bucket_s: str | None, **options: Any) -> None:
    """The same over time, in about 50 steps."""
    query = given(options)
    by = group_by or ("model",)
    width = None if bucket_s is None else timedelta(seconds=int(bucket_s))
    found = session.questions.timeseries(window_of(query), by, filter_of(query), width)
    answer = answers.timeseries(*found)
    if session.as_json:
        session.out.json(answer)
        return
    rows = [
        {**{name: series[name] for name in by}, **_row(point), "at": minutes(point["at"])}
        for series in answer["items"]
        for point in series["points"]
    ]
    session.out.table([*by, "at", *_COLUMNS], rows, "no executions")
    session.out.note(f"{span(answer['window'])}, by {answer['bucket_s']} s")


def _row(item: Mapping[str, Any]) -> dict[str, Any]:
    latency = item["latency_ms"]
    return {
        **item,
        "success": percent(item["success_rate"]),
        "p50_ms": ms(latency["p50"]),
        "p95_ms": ms(latency["p95"]),
        "p99_ms": ms(latency["p99"]),
        "first_token_p50_ms": ms(item["first_token_latency_ms"]["p50"]),
        "tokens_per_s": ms(item["tokens_per_second"]),
        "quality": score(item["quality_score"]),
        "cost_usd": usd(item["cost_usd"]),
        "unpriced": item["unpriced_count"],
    }
