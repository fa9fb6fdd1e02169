"""``omninode triggers``: workflows that begin with a webhook."""

from __future__ import annotations

from typing import Any

import click

from tasks.workflows.triggers.model import STATES
from webapp.cli.command import SessionGroup, pass_session
from webapp.cli.listing import paged, write_page
from webapp.cli.session import Session
from webapp.cli.targets import WHICH, given, say, steering, target, which_of, write

_COLUMNS = ("name", "state", "event_types", "families", "sources", "filter", "workflow")
_SHOWN = (
    "id", "name", "state", "event_types", "families", "sources", "filter", "workflow", "workflow_version", "input",
    "priority", "tags", "metadata", "created_at", "created_by",
)  # fmt: skip


@click.group("triggers", cls=SessionGroup, commands=steering("trigger", lambda session: session.triggers))
def group() -> None:
    """Workflows that begin with a webhook."""


@group.command("list")
@click.option("--state", type=click.Choice(STATES))
@click.option("--workflow")
@paged
@pass_session
def list_triggers(session: Session, /, **query: Any) -> None:
    """List triggers by name."""
    write_page(session, session.triggers.list(**query), _COLUMNS, "no triggers")


@group.command()
@click.argument("name")
@target
@click.option("--type", "event_types", multiple=True, help="Such as invoice.* or service-error; may be repeated.")
@click.option("--family", "families", multiple=True, help="Such as service_lifecycle; may be repeated.")
@click.option("--source", "sources", multiple=True, help="The sender; may be repeated.")
@click.option("--filter", "filter", help="An expression over `hook`, such as: hook.data.total > 100")
@pass_session
def add(session: Session, /, **options: Any) -> None:
    """Make a trigger called NAME. It sees every hook that is accepted from now on."""
    row = session.triggers.create(given(options), session.actor)
    session.audit("trigger-created", f"{row['id']} {row['name']}")
    say(session, row, "active")


@group.command()
@WHICH
@pass_session
def show(session: Session, /, which: str) -> None:
    """Show a trigger, and the outcome of the last hooks that it matched."""
    row = session.triggers.get(which_of(which))
    write(session, row, _SHOWN)
    if not session.as_json:
        session.out.line("")
        session.out.table(
            ["recorded_at", "hook_id", "outcome", "run_id", "run_state", "detail"], row["recent"], "no hook yet"
        )
