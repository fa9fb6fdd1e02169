"""``omninode dead``: the dead letters among the hooks, those whose every attempt failed or that were refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import click

from tasks.errors import Conflict
from tasks.paging import MAX_LIMIT
from webapp.cli.command import SessionGroup, pass_session
from webapp.cli.listing import paged, write_page
from webapp.cli.session import Session

_COLUMNS = ("id", "finished_at", "source", "event_type", "resource_id", "attempt", "error_code", "error")


@click.group("dead", cls=SessionGroup)
def group() -> None:
    """Dead hooks: kept, with the reason, until somebody replays them."""


@group.command("list")
@click.option("--source")
@click.option("--type", "event_type")
@paged
@pass_session
def list_dead(session: Session, /, **query: Any) -> None:
    """List dead hooks, newest first."""
    write_page(session, session.hooks.list(state="dead", **query), _COLUMNS, "no dead hooks")


@group.command()
@click.argument("hook_ids", type=click.UUID, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every dead hook (of the source and type, where given).")
@click.option("--source", help="With --all: only of this source.")
@click.option("--type", "event_type", help="With --all: only of this type.")
@pass_session
def replay(
    session: Session, /, hook_ids: tuple[UUID, ...], everything: bool, source: str | None, event_type: str | None
) -> None:
    """Send dead hooks through their handlers again."""
    if everything == bool(hook_ids):
        raise click.UsageError("Name the hooks, or give --all.")
    chosen = list(_dead(session, source, event_type)) if everything else list(hook_ids)
    replayed = []
    for hook_id in chosen:
        try:
            replayed.append(session.hooks.replay(hook_id))
        except Conflict:
            if not everything:
                raise
    if replayed:
        named = f"hook {replayed[0]['id']}" if len(replayed) == 1 else f"{len(replayed)} dead hooks"
        session.audit("hook-replayed", named)
    if session.as_json:
        session.out.json({"items": replayed})
    else:
        session.out.line(f"{len(replayed)} sent through again")


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
