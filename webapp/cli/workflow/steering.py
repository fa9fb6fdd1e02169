"""``omninode workflow pause|resume|cancel|retry|compensate|signal|approve|reject``: what may be done with a run.

States are changed directly, as an operator does, and audited. Signals and decisions go through the API, since a
decision is that of the key it is made with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import UUID

import click
import orjson

from tasks.ids import new_id
from webapp.cli.api import client_of
from webapp.cli.command import SessionCommand, pass_session
from webapp.cli.session import Session
from webapp.cli.workflow.values import json_value

_PATIENCE_S = 5.0
Steer = Callable[[UUID, str], dict[str, Any]]
WORKFLOW_ID = click.argument("workflow_id", type=click.UUID)
URL = click.option("--url", envvar="OMNINODE_URL", help="[default: of the running stack]")
API_KEY = click.option("--api-key", envvar="OMNINODE_API_KEY", help="[default: of the running stack]")


@click.command(cls=SessionCommand)
@WORKFLOW_ID
@pass_session
def pause(session: Session, /, workflow_id: UUID) -> None:
    """Pause a run: steps under way end, no other begins."""
    _steer(session, session.workflows.pause, workflow_id)


@click.command(cls=SessionCommand)
@WORKFLOW_ID
@pass_session
def resume(session: Session, /, workflow_id: UUID) -> None:
    """Let a paused run continue."""
    _steer(session, session.workflows.resume, workflow_id)


@click.command(cls=SessionCommand)
@WORKFLOW_ID
@click.option("--reason", help="Kept in the journal.")
@pass_session
def cancel(session: Session, /, workflow_id: UUID, reason: str | None) -> None:
    """Cancel a run and every step that has not ended."""
    _steer(session, lambda one, by: session.workflows.cancel(one, by, reason), workflow_id)


@click.command(cls=SessionCommand)
@WORKFLOW_ID
@pass_session
def retry(session: Session, /, workflow_id: UUID) -> None:
    """Retry a run from what failed; what succeeded is kept."""
    _steer(session, session.workflows.retry, workflow_id)


@click.command(cls=SessionCommand)
@WORKFLOW_ID
@pass_session
def compensate(session: Session, /, workflow_id: UUID) -> None:
    """Undo what succeeded in a run that ended, newest first."""
    _steer(session, session.workflows.compensate, workflow_id)


@click.command(cls=SessionCommand)
@WORKFLOW_ID
@click.argument("name")
@click.option("--payload", "-p", "payload_json", help="JSON; @FILE reads it from a file. [default: null]")
@click.option("--idempotency-key", help="A repeat with the same key is not a second signal.")
@URL
@API_KEY
@pass_session
def signal(
    session: Session,
    /,
    workflow_id: UUID,
    name: str,
    payload_json: str | None,
    idempotency_key: str | None,
    url: str | None,
    api_key: str | None,
) -> None:
    """Give a run the signal NAME: the first step that waits for it goes on with the payload."""
    payload = None if payload_json is None else json_value(payload_json, "--payload")
    answer = client_of(session, url, api_key).call(
        "POST",
        f"/workflows/{workflow_id}/signals/{quote(name, safe='')}",
        orjson.dumps({"payload": payload}),
        headers={"Idempotency-Key": idempotency_key or str(new_id())},
        patience_s=_PATIENCE_S,
    )
    _write(session, answer.body, f"{answer.body.get('signal_id')}  {name}")


@click.command(cls=SessionCommand)
@WORKFLOW_ID
@click.argument("step")
@click.option("--comment", default="", help="Kept with the decision.")
@URL
@API_KEY
@pass_session
def approve(session: Session, /, **given: Any) -> None:
    """Approve a STEP that waits for a decision."""
    _decide(session, "approve", **given)


@click.command(cls=SessionCommand)
@WORKFLOW_ID
@click.argument("step")
@click.option("--comment", default="", help="Kept with the decision.")
@URL
@API_KEY
@pass_session
def reject(session: Session, /, **given: Any) -> None:
    """Reject a STEP that waits for a decision: it fails."""
    _decide(session, "reject", **given)


def _steer(session: Session, act: Steer, run_id: UUID) -> None:
    steered = act(run_id, session.actor)
    session.audit("workflow-steered", f"run {run_id}: {steered['previous_state']} -> {steered['state']}")
    _write(session, steered, f"{run_id}  {steered['previous_state']} -> {steered['state']}")


def _decide(
    session: Session, act: str, *, workflow_id: UUID, step: str, comment: str, url: str | None, api_key: str | None
) -> None:
    path = f"/workflows/{workflow_id}/steps/{quote(step, safe='')}/{act}"
    decided = client_of(session, url, api_key).call("POST", path, orjson.dumps({"comment": comment})).body
    _write(session, decided, f"{workflow_id}  {step}  {'approved' if decided.get('approved') else 'rejected'}")


def _write(session: Session, answer: dict[str, Any], line: str) -> None:
    if session.as_json:
        session.out.json(answer)
    else:
        session.out.line(line)
