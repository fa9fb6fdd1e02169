"""``python -m webapp.stack up``: the stack's commands without the rest of the command line."""

from __future__ import annotations

import click

from webapp.stack.commands import down, up

if __name__ == "__main__":
    click.Group("stack", commands=[up, down])()
