"""The group ``omninode workflow`` and its commands."""

from __future__ import annotations

import click

from webapp.cli.command import SessionGroup
from webapp.cli.workflow.defining import list_definitions, put, validate
from webapp.cli.workflow.looking import list_runs, show, status, watch_run

COMMANDS = (validate, put, list_definitions, list_runs, status, show, watch_run)


@click.group("workflow", cls=SessionGroup, commands=COMMANDS)
def group() -> None:
    """Durable graphs of steps."""
