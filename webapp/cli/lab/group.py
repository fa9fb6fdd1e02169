"""The group itself, which the modules beside it add their commands to."""

from __future__ import annotations

import click

from webapp.cli.command import SessionGroup


@click.group("lab", cls=SessionGroup)
def group() -> None:
    """The AI Lab: ask models, compare them, look after their endpoints."""
