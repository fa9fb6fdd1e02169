"""``omninode db``: brings the database to this version's schema, and says how far it is."""

from __future__ import annotations

import click

from tasks.db.migrate import migrate, status
from webapp.cli.command import Failed, SessionGroup, pass_session
from webapp.cli.session import Session


@click.group("db", cls=SessionGroup)
def group() -> None:
    """The database's schema."""


@group.command()
@pass_session
def upgrade(session: Session, /) -> None:
    """Apply the migrations that are missing. Safe to run at any time, also several times at once."""
    applied = migrate(session.settings.database_url)
    if session.as_json:
        session.out.json({"applied": applied})
        return
    for name in applied:
        session.out.line(f"applied {name}", "green")
    if not applied:
        session.out.line("nothing to apply: the database is up to date")


@group.command("status")
@pass_session
def show_status(session: Session, /) -> None:
    """List the migrations and when each was applied. Exits with 1 if one is missing."""
    migrations = status(session.settings.database_url)
    pending = [migration.name for migration in migrations if migration.applied_at is None]
    if session.as_json:
        items = [{"name": m.name, "applied_at": m.applied_at} for m in migrations]
        session.out.json({"items": items, "pending": pending})
    else:
        rows = [{"migration": m.name, "applied_at": m.applied_at or "not yet"} for m in migrations]
        session.out.table(["migration", "applied_at"], rows)
    if pending:
        session.out.note(f"{len(pending)} to apply: run `omninode db upgrade`.")
        raise Failed
