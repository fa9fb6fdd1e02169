"""``omninode metrics rebuild``: rollups built anew from the raw executions."""

from __future__ import annotations

from datetime import datetime

import click

from tasks.metrics.rebuilding import Rebuilder
from webapp.cli.command import SessionCommand, pass_session
from webapp.cli.session import Session

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command(cls=SessionCommand)
@click.option("--from", "first", type=_DAY, required=True, help="The first day, in UTC.")
@click.option("--to", "last", type=_DAY, required=True, help="The last day, in UTC.")
@pass_session
def rebuild(session: Session, /, first: datetime, last: datetime) -> None:
    """Recompute the rollups of whole days from the recorded executions, while recording goes on."""
    done = []
    for day, rows in Rebuilder(session.db, session.settings).rebuild(first.date(), last.date()):
        done.append({"day": day, "executions": rows})
        if not session.as_json:
            session.out.line(f"{day}  {rows} executions")
    session.audit("metrics-rebuilt", f"{first.date()} to {last.date()}")
    if session.as_json:
        session.out.json({"items": done})
