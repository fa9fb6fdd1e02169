"""The command line: ``omninode``, and the same commands under ``flask --app webapp``.

One module holds one group of commands; ``command`` holds what all of them share.
"""

from __future__ import annotations

import click
from flask import Flask

from webapp.cli import (
    bench,
    db,
    dead,
    demo,
    doctor,
    hooks,
    keys,
    lab,
    limits,
    metrics,
    onex,
    schedules,
    tasks,
    topics,
    triggers,
    workflow,
)
from webapp.cli import relay as relay_commands
from webapp.cli.command import JSON_OPTION, STACK_OPTION
from webapp.cli.deferred import down, up

COMMANDS: tuple[click.Command, ...] = (
    up,
    down,
    doctor.command,
    db.group,
    keys.group,
    limits.group,
    hooks.group,
    dead.group,
    tasks.group,
    workflow.group,
    metrics.group,
    schedules.group,
    triggers.group,
    lab.group,
    relay_commands.group,
    topics.group,
    onex.group,
    demo.command,
)


@click.group(
    commands=(*COMMANDS, bench.command),
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[JSON_OPTION, STACK_OPTION],
)
@click.version_option(package_name="omninode-bridge", prog_name="omninode")
def omninode(**_given: object) -> None:
    """OmniNode Bridge: webhooks in, handled jobs and mirrored state out.

    Settings come from the environment (DATABASE_URL, REDIS_URL, …), else from the stack that `omninode up` runs in
    this folder. Exit codes: 0 done, 1 failed, 2 bad usage, 130
    interrupted.
    """


def main() -> None:
    """The entry point ``omninode``."""
    omninode(prog_name="omninode")


def register(app: Flask) -> None:
    """Puts the same commands on an app's own ``flask`` command line.

    An installed ``flask`` has them by entry points (pyproject.toml) anyway.
    """
    for command in COMMANDS:
        app.cli.add_command(command)
