"""``omninode relay``: how far the relay to Kafka is, sending again, passing over."""

from __future__ import annotations

from typing import Any

import click

from webapp.cli.command import SessionGroup, confirmed, pass_session
from webapp.cli.session import Session


@click.group("relay", cls=SessionGroup)
def group() -> None:
    """The relay that carries the journal to Kafka."""


@group.command()
@pass_session
def status(session: Session, /) -> None:
    """Show how far the relay is, how fast it goes, and what troubles it."""
    found = session.relay.status()
    if session.as_json:
        session.out.json(found)
        return
    shown = {name: value for name, value in found.items() if name not in ("topics", "sink")}
    session.out.record({**shown, "topics": len(found["topics"])})


@group.command()
@click.option("--from", "from_id", type=click.IntRange(0), default=0, help="The first journal id. [default: 0]")
@pass_session
def replay(session: Session, /, from_id: int) -> None:
    """Send the journal to Kafka again. Consumers see the same event ids once more."""
    _write(session, session.relay.replay(from_id))


@group.command()
@click.option("--to", "to_id", type=click.IntRange(1), help="Skip everything up to and including this journal id.")
@click.option("--count", type=click.IntRange(1), help="Skip this many rows.")
@click.option("--reason", required=True, help="Why; it is kept in the journal.")
@confirmed("What is passed over never comes to Kafka. Go on?")
@pass_session
def skip(session: Session, /, to_id: int | None, count: int | None, reason: str) -> None:
    """Skip rows that Kafka can't take. They stay in the journal."""
    if (to_id is None) == (count is None):
        raise click.UsageError("Give --to or --count.")
    _write(session, session.relay.skip(to_id, count, reason))


def _write(session: Session, act: dict[str, Any]) -> None:
    session.audit(f"relay-{act['action']}", f"from {act['from']} to {act['to']}: {act['reason'] or 'no reason'}")
    if session.as_json:
        session.out.json(act)
    else:
        session.out.line(f"{act['action']}: the relay goes on after journal id {act['to']} (it was at {act['from']})")
