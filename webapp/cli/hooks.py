"""``omninode hooks``: lists, shows, replays and sends webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO
from uuid import UUID

import click
import orjson

from tasks.hooks.model import END_STATES, STATES
from tasks.hooks.replaying import MOST, Choice
from webapp.cli.api import client_of
from webapp.cli.command import SessionGroup, pass_session
from webapp.cli.listing import Moment, paged, write_page
from webapp.cli.session import Session

COLUMNS = ("id", "received_at", "source", "event_type", "resource_id", "state", "attempt", "error")
_SHOWN = (
    "id",
    "state",
    "source",
    "event_type",
    "action",
    "resource",
    "resource_id",
    "environment",
    "correlation_id",
    "delivery_id",
    "received_at",
    "finished_at",
    "attempt",
    "next_attempt_at",
    "error_code",
    "error",
)


@click.group("hooks", cls=SessionGroup)
def group() -> None:
    """Webhooks in the inbox."""


@group.command("list")
@click.option("--source")
@click.option("--type", "event_type", help="Such as service-startup, tool-call, performance.")
@click.option("--state", type=click.Choice(STATES))
@click.option("--since", type=Moment(), help="An age such as 15m, or a time; inclusive.")
@click.option("--until", type=Moment(), help="An age or a time; exclusive.")
@paged
@pass_session
def list_hooks(session: Session, /, **query: Any) -> None:
    """List hooks, newest first."""
    write_page(session, session.hooks.list(**query), COLUMNS, "no hooks")


@group.command()
@click.argument("hook_id", type=click.UUID)
@pass_session
def show(session: Session, /, hook_id: UUID) -> None:
    """Show one hook: its fields, body, attempts and journal."""
    hook = session.hooks.get(hook_id)
    if session.as_json:
        session.out.json(hook)
        return
    session.out.record({name: hook[name] for name in _SHOWN if hook[name] is not None})
    session.out.record({"data": hook["body"].get("data")})
    session.out.line("")
    session.out.table(
        ["attempt", "started_at", "finished_at", "outcome", "error"], hook["attempts"], "no attempt yet"
    )
    session.out.line("")
    session.out.table(["version", "recorded_at", "event", "what"], [_told(row) for row in hook["journal"]])


@group.command()
@click.argument("hook_ids", type=click.UUID, nargs=-1)
@click.option("--state", type=click.Choice(sorted(END_STATES)), help="[default with another filter: dead]")
@click.option("--source")
@click.option("--type", "event_type")
@click.option("--since", type=Moment(), help="An age such as 15m, or a time; inclusive.")
@click.option("--until", type=Moment(), help="An age or a time; exclusive.")
@click.option(
    "--limit", type=click.IntRange(1, MOST), default=1000, show_default=True, help="Of those a filter finds."
)
@pass_session
def replay(session: Session, /, hook_ids: tuple[UUID, ...], limit: int, **found_by: Any) -> None:
    """Send handled or dead hooks through their handlers again, attempts counted anew: some by id, or what a filter
    finds, oldest first."""
    if bool(hook_ids) == any(found_by.values()):
        raise click.UsageError("Name the hooks, or what to find them by.")
    replayed: list[dict[str, Any]] = []
    more = False
    for hook_id in hook_ids:
        replayed.append(session.hooks.replay(hook_id))
        session.audit("hook-replayed", f"hook {hook_id}")
    if not hook_ids:
        state = found_by.pop("state")
        done = session.replays.replay(Choice(states=(state,) if state else (), **found_by), limit)
        replayed, more = done.items, done.more
        if replayed:
            session.audit("hook-replayed", f"{len(replayed)} hooks, from {replayed[0]['id']} to {replayed[-1]['id']}")
    if session.as_json:
        session.out.json({"items": replayed, "more": more})
        return
    for item in replayed:
        session.out.line(f"{item['id']}  {item['previous_state']} -> received")
    if more:
        session.out.note("There may be more: the limit was reached.")


@group.command()
@click.option("--source", required=True, help="Who tells.")
@click.option("--action", required=True, help="What happened.")
@click.option("--resource", required=True, help="What kind of thing it happened to.")
@click.option("--resource-id", required=True, help="Which one.")
@click.option("--data", help="A JSON object.")
@click.option("--data-file", type=click.File(encoding="utf-8"), help="A file with it; - is standard input.")
@click.option("--correlation-id")
@click.option("--idempotency-key", help="A repeat with the same key is not a second event.")
@click.option("--url", envvar="OMNINODE_URL", help="[default: of the running stack]")
@click.option("--api-key", envvar="OMNINODE_API_KEY", help="[default: of the running stack]")
@pass_session
def send(
    session: Session,
    /,
    data: str | None,
    data_file: TextIO | None,
    correlation_id: str | None,
    idempotency_key: str | None,
    url: str | None,
    api_key: str | None,
    **named: str,
) -> None:
    """Post one event to the bridge, as a service would."""
    body: dict[str, Any] = {**named, "data": _data(data, data_file)}
    if correlation_id:
        body["correlation_id"] = correlation_id
    client = client_of(session, url, api_key)
    try:
        answer = client.post_hook(body, idempotency_key).body
    finally:
        client.close()
    if session.as_json:
        session.out.json(answer)
    else:
        session.out.line(f"{answer.get('event_id')}  {'known already' if answer.get('duplicate') else 'accepted'}")


def _data(text: str | None, file: TextIO | None) -> Mapping[str, Any]:
    if text is not None and file is not None:
        raise click.UsageError("Give --data or --data-file, not both.")
    given = file.read() if file is not None else text
    if given is None:
        return {}
    try:
        value = orjson.loads(given)
    except ValueError as problem:
        raise click.BadParameter(f"not JSON: {problem}", param_hint="--data") from None
    if not isinstance(value, dict):
        raise click.BadParameter("must be a JSON object", param_hint="--data")
    return value


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    payload = row["payload"]
    what = [f"{payload['from']} -> {payload['state']}" if payload.get("from") else payload.get("state")]
    what += [payload[name] for name in ("reason", "error") if payload.get(name)]
    return {**row, "event": row["event_type"], "what": ": ".join(str(part) for part in what if part)}
