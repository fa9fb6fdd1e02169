"""``omninode workflow list|status|show|watch``: runs as the database has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import click

from tasks.workflows.chart import NODES, mermaid
from tasks.workflows.states import ITEM_STATES, RUN
from webapp.cli.command import Failed, SessionCommand, pass_session
from webapp.cli.listing import Moment, paged, write_page
from webapp.cli.session import Session
from webapp.cli.workflow.live import page, watch
from webapp.cli.workflow.tree import counts, duration, now, seconds_between

TIMED_OUT = 124
_COLUMNS = ("workflow_id", "created_at", "name", "version", "state", "took", "submitted_by", "error")
_ITEM_COLUMNS = ("index", "state", "attempt", "item", "output", "finished_at", "error")
_SHOWN = (
    "workflow_id",
    "name",
    "version",
    "state",
    "priority",
    "tags",
    "submitted_by",
    "correlation_id",
    "parent_workflow_id",
    "created_at",
    "started_at",
    "finished_at",
    "deadline_at",
    "error_code",
    "error",
)
_STEP_SHOWN = (
    "key",
    "kind",
    "state",
    "attempt",
    "needs",
    "queue",
    "waits_for",
    "signal_name",
    "due_at",
    "child_workflow_id",
    "compensates",
    "started_at",
    "finished_at",
    "error_code",
    "error",
    "arguments",
    "output",
    "items",
)


@click.command("list", cls=SessionCommand)
@click.option("--name", help="The workflow's name.")
@click.option("--search", help="A part of the name.")
@click.option("--state", type=click.Choice(RUN.states))
@click.option("--tag")
@click.option("--active", is_flag=True, help="Runs that have not ended.")
@click.option("--correlation-id", help="What they were begun with.")
@click.option("--parent", "parent_id", type=click.UUID, help="The children of this run.")
@click.option("--since", type=Moment(), help="An age such as 15m, or a time; inclusive.")
@click.option("--until", type=Moment(), help="An age or a time; exclusive.")
@paged
@pass_session
def list_runs(session: Session, /, **query: Any) -> None:
    """List runs, newest first."""
    found = session.reading.runs(**query)
    if not session.as_json:
        at = now()
        for row in found.items:
            took = seconds_between(row["created_at"], row["finished_at"], at)
            row["took"] = None if took is None else duration(took)
    write_page(session, found, _COLUMNS, "no runs")


@click.command(cls=SessionCommand)
@click.argument("workflow_id", type=click.UUID)
@pass_session
def status(session: Session, /, workflow_id: UUID) -> None:
    """Show how far a run is."""
    found = session.reading.status(workflow_id)
    if session.as_json:
        session.out.json(found)
        return
    write_head(session, found)
    for waiting in found["waiting"]:
        what = waiting["signal_name"] or waiting["message"] or ""
        session.out.line(f"{waiting['key']} waits for a {waiting['waits_for']}: {what}", "yellow")


@click.command(cls=SessionCommand)
@click.argument("workflow_id", type=click.UUID)
@click.option("--step", "key", help="One step: its arguments, output, attempts and journal.")
@click.option("--items", "all_items", is_flag=True, help="With --step: a table of a map's items; with --limit.")
@click.option("--item", type=click.IntRange(0), help="With --step: one item of a map, from 0.")
@click.option("--state", type=click.Choice(ITEM_STATES), help="With --items: those in this state.")
@click.option("--steps", "all_steps", is_flag=True, help="A table of the steps instead of the tree; with --limit.")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="The run's chart as a Mermaid flowchart.")
@click.option("--whole", is_flag=True, help="Show large values whole.")
@paged
@pass_session
def show(
    session: Session,
    /,
    workflow_id: UUID,
    key: str | None,
    all_items: bool,
    item: int | None,
    state: str | None,
    all_steps: bool,
    as_mermaid: bool,
    whole: bool,
    limit: int,
    cursor: str | None,
) -> None:
    """Show a run: its steps as a tree, its values and its journal; or one of its steps, or of a map's items."""
    if (all_items or item is not None) and key is None:
        raise click.UsageError("--items and --item need --step KEY.")
    if state is not None and not all_items:
        raise click.UsageError("--state needs --items.")
    if key is not None and item is not None:
        _write_item(session, session.reading.item(workflow_id, key, item))
    elif key is not None and all_items:
        found = session.reading.items(workflow_id, key, state=state, limit=limit, cursor=cursor)
        write_page(session, found, _ITEM_COLUMNS, "no items")
    elif as_mermaid:
        click.echo(mermaid(session.reading.chart(workflow_id)), nl=False)
    elif key is not None:
        _write_step(session, session.reading.step(workflow_id, key, whole=whole))
    elif all_steps:
        columns = ("key", "kind", "state", "attempt", "started_at", "finished_at", "needs", "error")
        write_page(session, session.reading.steps(workflow_id, limit=limit, cursor=cursor), columns, "no steps")
    else:
        _write_run(session, workflow_id, whole)


@click.command("watch", cls=SessionCommand)
@click.argument("workflow_id", type=click.UUID)
@click.option("--timeout", "-t", "timeout_s", type=click.FloatRange(0.1), help="In s. [default: until it ends]")
@pass_session
def watch_run(session: Session, /, workflow_id: UUID, timeout_s: float | None) -> None:
    """Watch a run until it ends. Exits with 0 if it succeeds, 1 if it does not, 124 when the time is up."""
    follow(session, workflow_id, lambda most: session.reading.chart(workflow_id, most=most), timeout_s)
    write_end(session, session.reading.run(workflow_id))


def follow(session: Session, run_id: UUID, look: Callable[[int], dict[str, Any]], timeout_s: float | None) -> None:
    """Watches a run to its end. Raises Failed with 124 when the time is up first, and says so."""
    try:
        chart, ended = watch(session, str(run_id), look, timeout_s=timeout_s)
    except KeyboardInterrupt:
        session.out.note(f"The run goes on: omninode workflow watch {run_id}")
        raise
    if not ended:
        if session.as_json:
            session.out.json({**chart, "timed_out": True})
        session.out.note(f"Not ended within {timeout_s:.3g} s; the run goes on: omninode workflow watch {run_id}")
        raise Failed(TIMED_OUT)


def write_end(session: Session, run: Mapping[str, Any]) -> None:
    """What a run that ended gave, or why it failed. Raises Failed with the exit code where it did not succeed."""
    if session.as_json:
        session.out.json(run)
    elif run["error"]:
        session.out.line(f"{run['error_code'] or 'error'}: {run['error']}", "red")
    if run["output"] is not None and not session.as_json:
        session.out.record({"output": run["output"]})
    if run["state"] != "succeeded":
        raise Failed(TIMED_OUT if run["state"] == "timed_out" else 1)


def write_head(session: Session, run: Mapping[str, Any]) -> None:
    """A run's own fields, and how many steps are where."""
    session.out.record({name: run[name] for name in _SHOWN if run[name] not in (None, [])})
    session.out.record({"steps": counts(run["states"]) or "none"})
    if run["compensations"]:
        session.out.record({"undoing": counts(run["compensations"])})


def _write_run(session: Session, run_id: UUID, whole: bool) -> None:
    run = session.reading.run(run_id, whole=whole)
    if session.as_json:
        session.out.json(run)
        return
    write_head(session, run)
    session.out.record({name: run[name] for name in ("input", "output", "metadata") if run[name] not in (None, {})})
    session.out.line("")
    session.out.console.print(page(session.reading.chart(run_id, most=NODES), str(run_id)))
    session.out.line("")
    rows = [{**row, "event": row["event_type"], **_told(row["payload"])} for row in run["journal"]]
    session.out.table(["version", "recorded_at", "event", "state", "by", "what"], rows)


def _write_step(session: Session, step: Mapping[str, Any]) -> None:
    if session.as_json:
        session.out.json(step)
        return
    session.out.record({name: step[name] for name in _STEP_SHOWN if step[name] not in (None, [])})
    session.out.line("")
    columns = ["attempt", "started_at", "finished_at", "outcome", "error"]
    session.out.table(columns, step["attempts"], "no attempt yet")
    session.out.line("")
    rows = [{**row, "event": row["event_type"], **_told(row["payload"])} for row in step["journal"]]
    session.out.table(["version", "recorded_at", "event", "state", "what"], rows, "nothing happened yet")


def _write_item(session: Session, item: Mapping[str, Any]) -> None:
    if session.as_json:
        session.out.json(item)
        return
    shown = {name: value for name, value in item.items() if name not in ("journal", "cut")}
    session.out.record({name: value for name, value in shown.items() if value is not None})
    session.out.line("")
    rows = [{**row, **row["payload"]} for row in item["journal"]]
    session.out.table(["attempt", "recorded_at", "state", "error_code", "error"], rows, "no attempt failed")


def _told(payload: Mapping[str, Any]) -> dict[str, Any]:
    what = [payload.get(name) for name in ("reason", "error_code", "error")]
    return {
        "state": payload.get("state"),
        "by": payload.get("by"),
        "what": ": ".join(str(one) for one in what if one),
    }
