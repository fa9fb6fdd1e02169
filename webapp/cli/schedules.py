"""``omninode schedules``: workflows that begin by the clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from tasks.workflows.schedules.model import CATCH_UPS, OVERLAPS, STATES
from webapp.cli.command import SessionGroup, pass_session
from webapp.cli.listing import Moment, paged, write_page
from webapp.cli.session import Session
from webapp.cli.targets import WHICH, given, say, steering, target, which_of, write

_COLUMNS = ("name", "state", "cron", "every_s", "timezone", "workflow", "next_tick", "last_tick")
_SHOWN = (
    "id", "name", "state", "cron", "every_s", "timezone", "starts_at", "ends_at", "jitter_s", "catch_up",
    "catch_up_limit", "grace_s", "overlap", "workflow", "workflow_version", "input", "priority", "tags", "metadata",
    "next_tick", "last_tick", "last_run_id", "created_at", "created_by",
)  # fmt: skip


@click.group("schedules", cls=SessionGroup, commands=steering("schedule", lambda session: session.schedules))
def group() -> None:
    """Workflows that begin by the clock."""


@group.command("list")
@click.option("--state", type=click.Choice(STATES))
@click.option("--workflow")
@paged
@pass_session
def list_schedules(session: Session, /, **query: Any) -> None:
    """List schedules by name."""
    write_page(session, session.schedules.list(**query), _COLUMNS, "no schedules")


@group.command()
@click.argument("name")
@target
@click.option("--cron", help="Five fields, or @hourly, @daily, @weekly, @monthly, @yearly.")
@click.option("--every", "every_s", type=click.IntRange(1), metavar="SECONDS", help="Instead of --cron.")
@click.option("--timezone", help="Of --cron, such as Europe/Berlin. [default: UTC]")
@click.option("--starts", "starts_at", type=Moment(forward=True), help="No tick before: 2h, or a time.")
@click.option("--ends", "ends_at", type=Moment(forward=True), help="No tick after: 90d, or a time.")
@click.option("--jitter", "jitter_s", type=int, metavar="SECONDS", help="Each run begins later by a part of it.")
@click.option("--catch-up", type=click.Choice(CATCH_UPS), help="What happens to missed ticks. [default: skip]")
@click.option("--catch-up-limit", type=int, help="With --catch-up all: at most this many. [default: 100]")
@click.option("--grace", "grace_s", type=int, metavar="SECONDS", help="Later than this is missed. [default: 60]")
@click.option("--overlap", type=click.Choice(OVERLAPS), help="If the previous run is still open. [default: allow]")
@pass_session
def add(session: Session, /, **options: Any) -> None:
    """Make a schedule called NAME, active from now on."""
    row = session.schedules.create(given(options), session.actor)
    session.audit("schedule-created", f"{row['id']} {row['name']}")
    say(session, row, f"first at {_time(row['next_tick'])}")


@group.command()
@WHICH
@pass_session
def show(session: Session, /, which: str) -> None:
    """Show a schedule, its next ticks, and the outcome of the last ones."""
    row = session.schedules.get(which_of(which))
    write(session, row, _SHOWN)
    if not session.as_json:
        session.out.line("")
        session.out.table(["tick", "local"], row["upcoming"], "no tick to come")
        session.out.line("")
        session.out.table(["tick", "outcome", "run_id", "run_state", "detail"], row["recent"], "no tick yet")


@group.command()
@WHICH
@click.option("--idempotency-key", help="A repeat with the same key is the same run.")
@pass_session
def trigger(session: Session, /, which: str, idempotency_key: str | None) -> None:
    """Begin a run of its workflow now, besides its ticks."""
    run = session.schedules.trigger(which_of(which), idempotency_key)
    session.audit("schedule-triggered", f"{which[:100]} run {run.run_id}")
    if session.as_json:
        session.out.json({"workflow_id": run.run_id, "status": run.state, "duplicate": run.duplicate})
    else:
        session.out.line(f"{run.run_id}  {run.state}")


def _time(moment: datetime | None) -> str:
    return "no time" if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")
