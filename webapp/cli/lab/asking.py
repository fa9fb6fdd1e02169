"""``omninode lab execute`` and ``lab compare``: over HTTP, since the keys of models are where the lab runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
import orjson

from tasks.lab.model import FALLBACKS, TIERS
from webapp.cli.api import Answer, client_of
from webapp.cli.command import Failed, pass_session
from webapp.cli.lab.group import group
from webapp.cli.session import Session

Function = TypeVar("Function", bound=Callable[..., Any])
_GRACE_S = 10.0
_COLUMNS = ("model", "state", "quality_score", "latency_ms", "first_token_latency_ms", "output_tokens", "cost_usd")


def _question(function: Function) -> Function:
    """Adds what both commands take."""
    for option in reversed(
        [
            click.argument("prompt"),
            click.option("--system", help="The system prompt."),
            click.option("--task-type", help="Such as documentation. [default: general_reasoning]"),
            click.option(
                "--temperature", type=click.FloatRange(0, 2), help="0 for the likeliest words; higher for freer ones."
            ),
            click.option("--max-tokens", type=click.IntRange(1), help="Of an answer."),
            click.option("--answer-json", "json", is_flag=True, help="The answer must be JSON."),
            click.option("--keyword", "keywords", multiple=True, help="Score by this word; may be given many times."),
            click.option(
                "--timeout",
                "timeout_s",
                type=click.FloatRange(0.1, 300),
                default=60.0,
                show_default=True,
                help="In s.",
            ),
        ]
    ):
        function = option(function)
    return function


@group.command()
@_question
@click.option("--model", help="This model.")
@click.option("--tier", type=click.Choice(TIERS), help="The tier in which the choice begins.")
@click.option("--fallback", type=click.Choice(FALLBACKS), help="Which model is asked next when one fails.")
@click.option("--max-latency-ms", type=click.FloatRange(1), help="Of the model chosen, at its 95th percentile.")
@click.option("--max-cost-usd", type=click.FloatRange(0), help="Of the model chosen, for an answer on average.")
@click.option("--min-quality", type=click.FloatRange(0, 1), help="Of the model chosen, on average.")
@pass_session
def execute(session: Session, /, **given: Any) -> None:
    """Ask a model PROMPT (`-`: standard input) and print its answer; the lab chooses the model unless told."""
    timeout_s = given["timeout_s"]
    body = _post(session, "/execute", _body(given), timeout_s).body
    if session.as_json:
        session.out.json(body)
        return
    click.echo(_printable(body["text"]))
    tried = len(body["attempts"])
    session.out.note(
        f"{body['model']} at {body['endpoint']} ({body['tier']}), {body['latency_ms']:.0f} ms, "
        f"{body['output_tokens'] if body['output_tokens'] is not None else '?'} tokens, attempt {tried}"
    )


@group.command()
@_question
@click.option("--model", "models", multiple=True, required=True, help="Two at least.")
@pass_session
def compare(session: Session, /, **given: Any) -> None:
    """Ask several models PROMPT (`-`: standard input), side by side; an answer that comes too late does not count."""
    if len(given["models"]) < 2:
        raise click.UsageError("Give --model twice at least.")
    body = _post(session, "/compare", _body(given), given["timeout_s"]).body
    if session.as_json:
        session.out.json(body)
    else:
        rows = [{**(one["answer"] or {}), "model": one["model"], "state": one["state"]} for one in body["results"]]
        session.out.table(_COLUMNS, rows)
        for one in body["results"]:
            session.out.line("")
            session.out.line(f"{one['model']}:", "bold")
            said = _printable(one["answer"]["text"]) if one["answer"] else f"{one['error_code']}: {one['error']}"
            click.echo(said)
        session.out.note(f"{body['state']}; best: {body['best'] or 'none'}")
    if body["state"] == "failed":
        raise Failed


def _body(given: dict[str, Any]) -> dict[str, Any]:
    body = {name: value for name, value in given.items() if value not in (None, (), False)}
    if body["prompt"] == "-":
        body["prompt"] = sys.stdin.read()
    keywords = body.pop("keywords", ())
    if keywords:
        body["scorers"] = [{"name": "keywords", "arguments": {"words": list(keywords)}}]
    return body


def _post(session: Session, path: str, body: dict[str, Any], timeout_s: float) -> Answer:
    client = client_of(session, None, None)
    try:
        return client.call("POST", path, orjson.dumps(body), timeout_s=timeout_s + _GRACE_S)
    finally:
        client.close()


def _printable(text: str) -> str:
    """A model's text as it is, but for what could send control sequences to the terminal."""
    return "".join(one if one in "\n\t" or one.isprintable() else "\ufffd" for one in text)
