"""``omninode lab health|models|report|endpoints``: what there is to ask, how it does, and its administration."""

from __future__ import annotations

from typing import Any

import click

from tasks.lab.administration import new_endpoint
from tasks.lab.model import KINDS, TIERS
from webapp.cli.command import Failed, SessionGroup, pass_session
from webapp.cli.lab.group import group
from webapp.cli.session import Session

_ENDPOINTS = ("name", "kind", "tier", "state", "circuit", "calls", "max_concurrency", "model_count", "check_error")
_REPORT = ("name", "attempts", "success_rate", "p50_ms", "p95_ms", "first_token_p50_ms", "tokens_per_second")


@group.command()
@click.option("--check", is_flag=True, help="Ask every endpoint now, from here.")
@pass_session
def health(session: Session, /, check: bool) -> None:
    """Show each endpoint's health and circuit. Exits with 1 if none accepts calls."""
    found = session.lab.endpoints.health(check=check)
    if session.as_json:
        session.out.json(found)
    else:
        session.out.table(_ENDPOINTS, found["endpoints"], "no endpoints: see `omninode lab endpoints add --help`")
        session.out.note(found["status"])
    if found["status"] == "unhealthy":
        raise Failed


@group.command()
@pass_session
def models(session: Session, /) -> None:
    """List the models that may be asked, and where they are."""
    items = session.lab.endpoints.models()
    if session.as_json:
        session.out.json({"items": items})
        return
    rows = [{"model": item["model"], **place} for item in items for place in item["endpoints"]]
    session.out.table(("model", "tier", "endpoint", "provider", "available"), rows, "no models")


@group.command()
@click.option("--hours", type=click.FloatRange(0.01, 720), default=24.0, show_default=True, help="How far back.")
@pass_session
def report(session: Session, /, hours: float) -> None:
    """Show how endpoints and models have performed lately."""
    found = session.lab.report(hours)
    if session.as_json:
        session.out.json(found)
        return
    for kind in ("endpoints", "models"):
        session.out.line(kind, "bold")
        session.out.table(_REPORT, [_flat(row) for row in found[kind]], "no attempts")


@group.group("endpoints", cls=SessionGroup)
def endpoints() -> None:
    """The servers of models."""


@endpoints.command("list")
@pass_session
def list_endpoints(session: Session, /) -> None:
    """List all endpoints."""
    items = session.lab.endpoints.list()
    if session.as_json:
        session.out.json({"items": items})
    else:
        session.out.table(_ENDPOINTS, items, "no endpoints")


@endpoints.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="The protocol that it speaks.")
@click.option("--url", required=True, help="Such as http://127.0.0.1:11434.")
@click.option("--tier", type=click.Choice(TIERS), required=True)
@click.option("--model", "models", multiple=True, help="A name or pattern of what may be used. [default: all]")
@click.option("--model-tier", "tiers", multiple=True, metavar="PATTERN=TIER", help="Models of another tier.")
@click.option("--provider", help="Whom its executions are recorded under. [default: the kind]")
@click.option("--secret", metavar="NAME", help="The key is in OMNINODE_SECRET_NAME, or its _FILE.")
@click.option("--max-concurrency", type=click.IntRange(1, 10_000), default=4, show_default=True)
@click.option(
    "--first-token-timeout",
    "first_token_timeout_s",
    type=click.FloatRange(0.1, 600),
    default=60.0,
    show_default=True,
    help="In s.",
)
@pass_session
def add(session: Session, /, tiers: tuple[str, ...], **given: Any) -> None:
    """Add an endpoint, and ask it once what it offers."""
    pairs = [pair.rsplit("=", 1) for pair in tiers]
    if any(len(pair) != 2 or pair[1] not in TIERS for pair in pairs):
        raise click.BadParameter(f"PATTERN=TIER, with a tier of {', '.join(TIERS)}", param_hint="--model-tier")
    added = session.lab.endpoints.add(new_endpoint({**given, "model_tiers": dict(pairs)}))
    session.audit("lab-endpoint-added", f"{added['kind']} endpoint {added['name']} at {added['url']}")
    if session.as_json:
        session.out.json(added)
        return
    session.out.record({name: added[name] for name in ("name", "kind", "tier", "url", "state", "model_count")})
    if added["check_error"]:
        session.out.note(f"it does not answer yet: {added['check_error']}")


@endpoints.command()
@click.argument("name")
@pass_session
def remove(session: Session, /, name: str) -> None:
    """Remove an endpoint; calls under way go on."""
    session.lab.endpoints.remove(name)
    session.audit("lab-endpoint-removed", f"endpoint {name}")
    if session.as_json:
        session.out.json({"removed": name})
    else:
        session.out.line(f"removed {name}")


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    latency, first = row["latency_ms"], row["first_token_latency_ms"]
    return {**row, "p50_ms": latency["p50"], "p95_ms": latency["p95"], "first_token_p50_ms": first["p50"]}
