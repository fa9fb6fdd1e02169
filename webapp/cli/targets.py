"""What the commands of schedules and of triggers share: the options of a workflow to begin, how one is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

import click
import orjson

from webapp.cli.command import SessionCommand, pass_session
from webapp.cli.session import Session

Function = TypeVar("Function", bound=Callable[..., Any])
WHICH = click.argument("which", metavar="NAME_OR_ID")


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object."""

    name = "json"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The object. Anything else is bad usage."""
        if isinstance(value, dict):
            return value
        try:
            found = orjson.loads(str(value))
        except ValueError as problem:
            self.fail(f"not JSON: {problem}", param, ctx)
        if not isinstance(found, dict):
            self.fail("must be a JSON object", param, ctx)
        return found


def target(function: Function) -> Function:
    """Adds the options that say which workflow begins, and with what."""
    for option in (
        click.option("--metadata", type=JsonObject(), help="Kept with the run."),
        click.option("--tag", "tags", multiple=True, help="May be given many times."),
        click.option("--priority", type=click.IntRange(1, 10)),
        click.option("--input", "-i", "input", type=JsonObject(), help="A JSON object; its texts may be templates."),
        click.option("--version", "workflow_version", help="[default: the newest at the time]"),
        click.option("--workflow", "-w", "workflow", required=True, help="The name of a stored definition."),
    ):
        function = option(function)
    return function


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()
            if value is not None and value != ()}  # fmt: skip


def which_of(text: str) -> UUID | str:
    """An id, where it looks like one, else a name."""
    try:
        return UUID(text) if len(text) == 36 else text
    except ValueError:
        return text


def write(session: Session, row: Mapping[str, Any], shown: Sequence[str]) -> None:
    """One of them, as a record or as JSON."""
    if session.as_json:
        session.out.json(row)
    else:
        session.out.record({name: row[name] for name in shown if row[name] not in (None, [], {})})


def say(session: Session, row: Mapping[str, Any], what: str) -> None:
    """What was done with one, in a line, or the whole as JSON."""
    if session.as_json:
        session.out.json(row)
    else:
        session.out.line(f"{row['name']}  {what}")


class Steered(Protocol):
    """A service of things that are paused, resumed and removed by name or id."""

    def pause(self, which: UUID | str, by: str) -> dict[str, Any]:
        """Pauses one."""

    def resume(self, which: UUID | str, by: str) -> dict[str, Any]:
        """Lets it go on."""

    def remove(self, which: UUID | str, by: str) -> dict[str, Any]:
        """Removes one."""


def steering(noun: str, service: Callable[[Session], Steered]) -> tuple[click.Command, ...]:
    """The commands ``pause``, ``resume`` and ``remove`` of a group; ``noun`` is one of its things."""

    def command(name: str, done: str, about: str) -> click.Command:
        @click.command(name, cls=SessionCommand, help=about)
        @WHICH
        @pass_session
        def act(session: Session, /, which: str) -> None:
            row = getattr(service(session), name)(which_of(which), session.actor)
            session.audit(f"{noun}-{done}", f"{row['id']} {row['name']}")
            say(session, row, done)

        return act

    return (
        command("pause", "paused", f"Stop a {noun} from beginning runs until it is resumed."),
        command("resume", "resumed", f"Let a paused {noun} continue from now."),
        command("remove", "removed", f"Remove a {noun}; runs that it began continue."),
    )
