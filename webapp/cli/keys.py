"""``omninode keys``: makes, lists and revokes API keys."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from tasks.access.model import SCOPES
from webapp.cli.command import SessionGroup, pass_session
from webapp.cli.listing import Moment
from webapp.cli.session import Session

_COLUMNS = ("id", "name", "prefix", "scopes", "state", "expires_at", "last_used_at")


@click.group("keys", cls=SessionGroup)
def group() -> None:
    """API keys."""


@group.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="May be given many times. [default: hooks:write hooks:read]",
)
@click.option("--expires", "expires_at", type=Moment(forward=True), help="When it ends: 90d, 12h, or a time.")
@pass_session
def create(session: Session, /, name: str, scopes: tuple[str, ...], expires_at: datetime | None) -> None:
    """Make a key called NAME and print it. It is shown this once, and stored only as a hash."""
    record, secret = session.access.create(name, scopes or ("hooks:write", "hooks:read"), expires_at)
    if session.as_json:
        session.out.json({**record, "key": secret})
        return
    expires = record["expires_at"] or "never"
    session.out.record({"id": record["id"], "scopes": record["scopes"], "expires_at": expires, "key": secret})
    session.out.note("Keep the key now: it can't be shown again.")


@group.command("list")
@pass_session
def list_keys(session: Session, /) -> None:
    """List all keys, revoked ones too; never the keys themselves."""
    now = datetime.now(UTC)
    items = [{**record, "state": _state(record, now)} for record in session.access.list()]
    if session.as_json:
        session.out.json({"items": items})
    else:
        session.out.table(_COLUMNS, items, "no keys: make one with `omninode keys create NAME`")


@group.command()
@click.argument("which", metavar="ID_OR_PREFIX")
@pass_session
def revoke(session: Session, /, which: str) -> None:
    """Revoke a key for good. Running processes may know it for ten more seconds."""
    record = session.access.revoke(which)
    if session.as_json:
        session.out.json(record)
    else:
        session.out.line(f"revoked {record['name']} ({record['prefix']}…)")


def _state(record: dict[str, object], now: datetime) -> str:
    if record["revoked_at"] is not None:
        return "revoked"
    expires_at = record["expires_at"]
    return "expired" if isinstance(expires_at, datetime) and expires_at <= now else "active"
