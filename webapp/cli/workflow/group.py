"""The group ``omninode workflow`` and its commands."""

from __future__ import annotations

import click

from webapp.cli.command import SessionGroup
from webapp.cli.workflow.defining import list_definitions, put, validate
from webapp.cli.workflow.looking import list_runs, show, status, watch_run
from webapp.cli.workflow.steering import approve, cancel, compensate, pause, reject, resume, retry, signal
from webapp.cli.workflow.submitting import submit

COMMANDS = (
    validate,
    put,
    list_definitions,
    submit,
    list_runs,
    status,
    show,
    watch_run,
    pause,
    resume,
    cancel,
    retry,
    compensate,
    signal,
    approve,
    reject,
)


@click.group("workflow", cls=SessionGroup, commands=COMMANDS)
def group() -> None:
    """Durable graphs of steps."""
