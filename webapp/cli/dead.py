"""``omninode dead``: the dead letters among the hooks, those whose every attempt failed or that were refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import click

from tasks.errors import Conflict, NotFound
from tasks.hooks.replaying import Choice
from tasks.paging import MAX_LIMIT
from webapp.cli.command import SessionGroup, confirmed, pass_session
from webapp.cli.listing import paged, write_page
from webapp.cli.session import Session

_COLUMNS = ("id", "finished_at", "source", "event_type", "resource_id", "attempt", "error_code", "error")


@click.group("dead", cls=SessionGroup)
def group() -> None:
    """Dead hooks: kept, with the reason, until somebody replays or drops them."""


@group.command("list")
@click.option("--source")
@click.option("--type", "event_type")
@paged
@pass_session
def list_dead(session: Session, /, **query: Any) -> None:
    """List dead hooks, newest first."""
    write_page(session, session.hooks.list(state="dead", **query), _COLUMNS, "no dead hooks")


def _chosen(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which: hooks by id, or all, of a source and type."""
    options = [
        click.argument("hook_ids", type=click.UUID, nargs=-1),
        click.option(
            "--all", "everything", is_flag=True, help="Every dead hook (of the source and type, where given)."
        ),
        click.option("--source", help="With --all: only of this source."),
        click.option("--type", "event_type", help="With --all: only of this type."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@group.command()
@_chosen
@pass_session
def replay(session: Session, /, **choice: Any) -> None:
    """Send dead hooks through their handlers again."""
    _act(session, "replay", "hook-replayed", "sent through again", **choice)


@group.command()
@_chosen
@confirmed("Dropped hooks can't be replayed any more. Go on?")
@pass_session
def drop(session: Session, /, **choice: Any) -> None:
    """Give up on dead hooks: remove them from the inbox (the journal keeps their history)."""
    _act(session, "drop", "hook-dropped", "dropped", **choice)


def _act(
    session: Session,
    act: str,
    code: str,
    what: str,
    *,
    hook_ids: tuple[UUID, ...],
    everything: bool,
    source: str | None,
    event_type: str | None,
) -> None:
    if everything == bool(hook_ids):
        raise click.UsageError("Name the hooks, or give --all.")
    on_one: Callable[[UUID], dict[str, Any] | None] = getattr(session.hooks, act)
    done: list[dict[str, Any]] = []
    if everything and act == "replay":
        dead = Choice(states=("dead",), source=source, event_type=event_type)
        done, everything = session.replays.replay(dead).items, False
    for hook_id in _dead(session, source, event_type) if everything else hook_ids:
        try:
            told = on_one(hook_id)
        except (Conflict, NotFound):
            if not everything:
                raise
        else:
            done.append(told or {"id": hook_id})
    if done:
        session.audit(code, f"hook {done[0]['id']}" if len(done) == 1 else f"{len(done)} dead hooks")
    if session.as_json:
        session.out.json({"items": done})
    else:
        session.out.line(f"{len(done)} {what}")


def _dead(session: Session, source: str | None, event_type: str | None) -> Iterator[UUID]:
    """Ids first, all of them: a hook that dies again meanwhile is not taken twice."""
    cursor = None
    found: list[UUID] = []
    while True:
        page = session.hooks.list(state="dead", source=source, event_type=event_type, limit=MAX_LIMIT, cursor=cursor)
        found += [item["id"] for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return iter(reversed(found))
