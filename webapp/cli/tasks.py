"""``omninode tasks``: the Celery tasks as they are mirrored in PostgreSQL, and sending one by hand."""

from __future__ import annotations

from typing import Any

import click
import orjson
from kombu.exceptions import OperationalError

from tasks.errors import BrokerUnavailable
from tasks.states.model import STATES
from webapp.cli.command import SessionGroup, pass_session
from webapp.cli.listing import paged, write_page
from webapp.cli.session import Session

_COLUMNS = ("task_id", "name", "state", "queue", "worker", "attempt", "first_seen_at", "finished_at", "error")


@click.group("tasks", cls=SessionGroup)
def group() -> None:
    """Celery tasks, mirrored."""


@group.command("list")
@click.option("--state", type=click.Choice(STATES))
@click.option("--name", help="The task's name, such as hooks.handle.")
@paged
@pass_session
def list_tasks(session: Session, /, **query: Any) -> None:
    """List tasks, the last seen first."""
    write_page(session, session.tasks.list(**query), _COLUMNS, "no tasks")


@group.command()
@click.argument("task_id")
@pass_session
def show(session: Session, /, task_id: str) -> None:
    """Show one task and every transition of it."""
    task = session.tasks.get(task_id)
    if session.as_json:
        session.out.json(task)
        return
    history = task.pop("history")
    session.out.record({name: value for name, value in task.items() if value is not None})
    session.out.line("")
    rows = [{**row, **row["payload"]} for row in history]
    session.out.table(["version", "recorded_at", "state", "attempt", "worker", "error"], rows, "no history")


@group.command()
@click.argument("name")
@click.option("--args", "args_json", default="[]", help="Positional arguments: a JSON array.")
@click.option("--kwargs", "kwargs_json", default="{}", help="Named arguments: a JSON object.")
@click.option("--queue", help="[default: the task's own]")
@pass_session
def send(session: Session, /, name: str, args_json: str, kwargs_json: str, queue: str | None) -> None:
    """Send the task NAME to the workers. Such as: tasks send demo.fib --kwargs '{"n": 20}'."""
    args = _parsed(args_json, list, "--args")
    kwargs = _parsed(kwargs_json, dict, "--kwargs")
    options: dict[str, Any] = {"queue": queue} if queue else {}
    try:
        sent = session.celery.send_task(name, args=args, kwargs=kwargs, ignore_result=True, **options)
    except OperationalError as problem:
        raise BrokerUnavailable("Redis does not take the message now.") from problem
    if session.as_json:
        session.out.json({"task_id": sent.id, "name": name})
    else:
        session.out.line(sent.id)


def _parsed(text: str, kind: type, option: str) -> Any:
    try:
        value = orjson.loads(text)
    except ValueError as problem:
        raise click.BadParameter(f"not JSON: {problem}", param_hint=option) from None
    if not isinstance(value, kind):
        raise click.BadParameter("must be a JSON " + ("array" if kind is list else "object"), param_hint=option)
    return value
