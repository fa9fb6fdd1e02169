"""What every command shares: ``--json``, ``--stack``, an open session, and errors as one line.

``group`` makes a group whose commands get all that; a command's function takes the ``Session`` first.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson
import psycopg2
import redis

from tasks.errors import BridgeError, BrokerUnavailable, Conflict
from webapp.cli.output import clean
from webapp.cli.session import Session

JSON_OPTION = click.Option(["--json", "as_json"], is_flag=True, help="Write JSON instead of text.")
STACK_OPTION = click.Option(
    ["--stack", "stack_dir"],
    type=click.Path(path_type=Path),
    envvar="OMNINODE_STACK_DIR",
    show_envvar=True,
    help="Folder of the embedded stack, with its stack.json. [default: .omninode]",
)
Function = TypeVar("Function", bound=Callable[..., Any])
# 128 and the number of SIGINT, as a shell tells it.
INTERRUPTED = 130
pass_session = click.make_pass_decorator(Session)


def confirmed(question: str) -> Callable[[Function], Function]:
    """Adds ``--yes``, without which the question is asked, where no output goes: on standard error."""

    def ask(ctx: click.Context, _param: click.Parameter, yes: bool) -> None:
        if not yes and not ctx.resilient_parsing:
            click.confirm(question, abort=True, err=True)

    return click.option("--yes", is_flag=True, expose_value=False, callback=ask, help="Do not ask.")


class Failed(Exception):
    """A command did its work, and what it found is a failure: it has said so, and only the exit code is left."""

    def __init__(self, exit_code: int = 1) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class SessionCommand(click.Command):
    """A command with a session: its settings and connections, opened when first used and closed at the end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params = [*self.params, JSON_OPTION, STACK_OPTION]

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. Exit code 1 and one line on standard error where it fails."""
        outer = ctx.find_root().params
        as_json = bool(ctx.params.pop("as_json") or outer.get("as_json"))
        stack_dir = ctx.params.pop("stack_dir") or outer.get("stack_dir")
        on_line = any(
            context.get_parameter_source("stack_dir") is click.core.ParameterSource.COMMANDLINE
            for context in (ctx, ctx.find_root())
        )
        if not logging.getLogger().handlers:
            # Log lines stay off the terminal: a command says itself what went wrong.
            logging.getLogger().addHandler(logging.NullHandler())
        session = Session(as_json=as_json, stack_dir=stack_dir, stack_first=on_line)
        ctx.obj = session
        with session:
            try:
                return super().invoke(ctx)
            except Failed as found:
                ctx.exit(found.exit_code)
            except KeyboardInterrupt:
                click.echo(err=True)
                ctx.exit(INTERRUPTED)
            except (click.ClickException, click.exceptions.Exit, click.Abort):
                raise
            except Exception as problem:
                if isinstance(problem, OSError) and problem.errno == errno.EPIPE:
                    raise
                if os.environ.get("OMNINODE_DEBUG"):
                    raise
                raise CommandFailure(translated(problem), as_json) from problem


class SessionGroup(click.Group):
    """A group whose commands have sessions."""

    command_class = SessionCommand


class CommandFailure(click.ClickException):
    """Shows an error as one line on standard error (with ``--json``: one JSON object), and exits with 1."""

    exit_code = 1

    def __init__(self, problem: BridgeError, as_json: bool) -> None:
        super().__init__(sentence_of(problem))
        self._problem = problem
        self._as_json = as_json

    def show(self, file: Any = None) -> None:
        """Writes the line."""
        click.echo(self._line(), file=file, err=file is None)

    def _line(self) -> str:
        if not self._as_json:
            return f"Error: {clean(self.message)}"
        errors = [{"pointer": item.pointer, "detail": item.detail} for item in self._problem.errors]
        body = {"code": self._problem.code, "detail": self._problem.detail, "errors": errors}
        return orjson.dumps({"error": body}).decode()


def sentence_of(problem: BridgeError) -> str:
    """The error and its field errors, in one line."""
    fields = "; ".join(f"{item.pointer}: {item.detail}" for item in problem.errors)
    return f"{problem.detail.rstrip(':.')}: {fields}" if fields else problem.detail


def translated(problem: Exception) -> BridgeError:
    """``problem`` as an error of ours, in words that say what to do where that is known."""
    if isinstance(problem, BridgeError):
        return problem
    if isinstance(problem, psycopg2.errors.UndefinedTable | psycopg2.errors.UndefinedFunction):
        return Conflict("The database lacks a table that this version needs: run `omninode db upgrade`.")
    if isinstance(problem, redis.RedisError):
        return BrokerUnavailable(f"Redis does not answer ({type(problem).__name__}).")
    text = " ".join(str(problem).split())
    return BridgeError(f"Unexpected {type(problem).__name__}: {text} (OMNINODE_DEBUG=1 shows where).")
