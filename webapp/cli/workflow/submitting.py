"""``omninode workflow submit``: begins a run by HTTP or Kafka, and watches it to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import click
import orjson

from tasks.ids import new_id
from webapp.cli.api import ApiClient, ApiRefused, client_of
from webapp.cli.command import Failed, SessionCommand, pass_session
from webapp.cli.session import Session
from webapp.cli.workflow import by_kafka
from webapp.cli.workflow.example import EXAMPLE, EXAMPLE_FILE, TIERS, quick_task
from webapp.cli.workflow.looking import TIMED_OUT, follow, write_end
from webapp.cli.workflow.mistakes import refused
from webapp.cli.workflow.values import json_value

_PATIENCE_S = 10.0
_TIMEOUT_S = 30.0
_TIER_HELP = "How hard it is: kept with the run; a --quick-task goes to a model of that tier."


@dataclass(frozen=True)
class Order:
    """What is to be submitted: the body of ``POST /workflows/execute``, and the file that it came from."""

    body: dict[str, Any]
    file: str
    idempotency_key: str


@dataclass(frozen=True)
class Way:
    """How an order is brought, and how its run is seen: as a chart of so many nodes, and as a whole."""

    submit: Callable[[Order, float], dict[str, Any]]
    chart: Callable[[UUID, int], dict[str, Any]]
    run: Callable[[UUID], dict[str, Any]]


@click.command(cls=SessionCommand)
@click.option("--workflow", "-w", "file", type=click.File("rb"), help="A definition in YAML or JSON; - is stdin.")
@click.option("--quick-task", "-q", "question", help="One question to a model, as a workflow of one step.")
@click.option("--create-example", is_flag=True, help=f"Write {EXAMPLE_FILE}, an example to begin with, and end.")
@click.option("--name", help="A stored definition.")
@click.option("--version", help="Of the stored definition. [default: the newest]")
@click.option("--input", "-i", "input_json", help="The run's input as JSON; @FILE reads it from a file.")
@click.option("--complexity", "-c", type=click.Choice(list(TIERS)), help=_TIER_HELP)
@click.option("--kafka-servers", "-k", help="Submit through Kafka, at these addresses, instead of HTTP.")
@click.option(
    "--timeout",
    "-t",
    "timeout_s",
    type=click.FloatRange(0.1),
    default=300.0,
    show_default=True,
    help="In s, for its end.",
)
@click.option("--no-wait", is_flag=True, help="Do not wait for the run's end.")
@click.option("--verbose", "-v", is_flag=True, help="Show more of what is sent and of each step.")
@click.option("--priority", type=click.IntRange(1, 10), help="Higher goes first. [default: the definition's]")
@click.option("--tag", "tags", multiple=True, help="May be given several times.")
@click.option("--idempotency-key", help="A repeat with the same key is the same run.")
@click.option("--url", envvar="OMNINODE_URL", help="[default: of the running stack]")
@click.option("--api-key", envvar="OMNINODE_API_KEY", help="[default: of the running stack]")
@pass_session
def submit(
    session: Session,
    /,
    file: BinaryIO | None,
    question: str | None,
    create_example: bool,
    name: str | None,
    kafka_servers: str | None,
    timeout_s: float,
    no_wait: bool,
    verbose: bool,
    url: str | None,
    api_key: str | None,
    **given: Any,
) -> None:
    """Begin a run of a workflow, and watch it.

    Give one of --workflow, --quick-task, --name and --create-example.

    Exits with 0 where the run succeeds, 1 where it does not, 2 for bad usage or input, 124 when the time is up,
    130 when it is interrupted; in both the run goes on.
    """
    if sum((file is not None, question is not None, create_example, name is not None)) != 1:
        raise click.UsageError("Give one of --workflow, --quick-task, --name and --create-example.")
    if create_example:
        _write_example(session)
        return
    deadline = time.monotonic() + timeout_s
    order = _order(file, question, name, **given)
    way = _by_kafka(session, kafka_servers) if kafka_servers else _by_http(session, url, api_key)
    accepted = _accepted(session, way, order, timeout_s)
    run_id = UUID(str(accepted["workflow_id"]))
    if no_wait:
        if session.as_json:
            session.out.json(accepted)
        else:
            session.out.line(str(run_id))
        return
    if not session.as_json:
        session.out.note(f"run {run_id}")
    if verbose:
        session.out.note(f"{accepted.get('message')} Its idempotency key: {order.idempotency_key}")
    follow(session, run_id, lambda most: way.chart(run_id, most), max(0.1, deadline - time.monotonic()))
    run = way.run(run_id)
    if verbose and not session.as_json:
        columns = ["key", "kind", "state", "attempt", "started_at", "finished_at", "output"]
        session.out.table(columns, run["steps"], "no steps")
    write_end(session, run)


def _write_example(session: Session) -> None:
    path = Path(EXAMPLE_FILE)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(EXAMPLE)
    except FileExistsError:
        raise click.UsageError(f"{path} is there already; it is not overwritten.") from None
    if session.as_json:
        session.out.json({"file": str(path)})
    else:
        session.out.line(f"wrote {path}; try: omninode workflow submit -w {path} -i '{{\"orders\": [12, 30, 7]}}'")


def _order(
    file: BinaryIO | None,
    question: str | None,
    name: str | None,
    *,
    version: str | None,
    input_json: str | None,
    complexity: str | None,
    priority: int | None,
    tags: tuple[str, ...],
    idempotency_key: str | None,
) -> Order:
    if version is not None and name is None:
        raise click.UsageError("--version belongs to --name.")
    if question is not None and input_json is not None:
        raise click.UsageError("--input does not go with --quick-task: the question is its input.")
    body: dict[str, Any] = {"input": {} if input_json is None else json_value(input_json, "--input")}
    if file is not None:
        body["definition"] = _text(file)
    elif question is not None:
        body |= {"definition": quick_task(complexity), "input": {"prompt": question}}
    else:
        body["name"] = name
    more = {"version": version, "priority": priority, "tags": list(tags)}
    body |= {field: value for field, value in more.items() if value}
    if complexity is not None:
        body["metadata"] = {"complexity": complexity}
    return Order(body, file.name if file is not None else "the definition", idempotency_key or str(new_id()))


def _text(file: BinaryIO) -> str:
    try:
        return file.read().decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise click.BadParameter(f"not UTF-8 at byte {problem.start}", param_hint="--workflow") from None


def _accepted(session: Session, way: Way, order: Order, timeout_s: float) -> dict[str, Any]:
    try:
        return way.submit(order, timeout_s)
    except ApiRefused as problem:
        raise refused(session, problem, order.file, "/definition") from problem
    except by_kafka.NoAnswer as problem:
        session.out.note(problem.detail)
        raise Failed(TIMED_OUT) from problem


def _by_http(session: Session, url: str | None, api_key: str | None) -> Way:
    client: ApiClient = client_of(session, url, api_key)

    def bring(order: Order, timeout_s: float) -> dict[str, Any]:
        # The key makes a repeat the same run, so that a busy bridge can be asked again.
        answer = client.call(
            "POST",
            "/workflows/execute",
            orjson.dumps(order.body),
            headers={"Idempotency-Key": order.idempotency_key},
            patience_s=min(timeout_s, _PATIENCE_S),
            timeout_s=min(timeout_s, _TIMEOUT_S),
        )
        return answer.body

    return Way(
        bring,
        lambda run_id, most: client.call("GET", f"/workflows/{run_id}/chart?format=json&nodes={most}").body,
        lambda run_id: client.call("GET", f"/workflows/{run_id}", patience_s=_PATIENCE_S).body,
    )


def _by_kafka(session: Session, servers: str) -> Way:
    def run(run_id: UUID) -> dict[str, Any]:
        return {**session.reading.run(run_id), "steps": session.reading.steps(run_id).items}

    return Way(
        lambda order, timeout_s: by_kafka.submit(session.settings, servers, order.body, timeout_s),
        lambda run_id, most: session.reading.chart(run_id, most=most),
        run,
    )
