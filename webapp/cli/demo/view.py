"""Shows the demo as it runs: a live page on a terminal, a line now and then in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from webapp.cli.demo.load import Load
from webapp.cli.demo.watch import DatabaseWatch, KafkaWatch
from webapp.cli.output import STYLES

_STATES = ("received", "processing", "retrying", "handled", "dead")


@dataclass(frozen=True)
class Numbers:
    """Everything that is shown, at one moment."""

    elapsed_s: float
    services: int
    counts: dict[str, int]
    states: dict[str, int]
    accept_ms: tuple[float, float]
    end_to_end_ms: tuple[float, float]
    journal_id: int
    lag: int
    open_tasks: int
    by_topic: dict[str, int]
    surprises: int
    trouble: str


def gather(load: Load, database: DatabaseWatch, kafka: KafkaWatch, elapsed_s: float) -> Numbers:
    """The numbers now."""
    tally, seen = load.tally, database.seen
    with tally.lock:
        counts, latencies, surprises = dict(tally.counts), list(tally.latencies_s), len(tally.surprises)
    return Numbers(
        elapsed_s=elapsed_s,
        services=load.running,
        counts=counts,
        states={state: seen.states.get(state, 0) for state in _STATES},
        accept_ms=percentiles_ms(latencies),
        end_to_end_ms=percentiles_ms(list(kafka.latencies_s)),
        journal_id=seen.journal_id,
        lag=max(0, seen.journal_id - seen.relay_position),
        open_tasks=seen.open_tasks,
        by_topic=dict(kafka.by_topic.most_common()),
        surprises=surprises,
        trouble="; ".join(text for text in (seen.trouble, kafka.trouble) if text),
    )


def percentiles_ms(seconds: Sequence[float]) -> tuple[float, float]:
    """The 50th and 99th percentile in milliseconds (nearest rank); zeros where there is nothing."""
    if not seconds:
        return 0.0, 0.0
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return tuple(round(ordered[round(last * share)] * 1000, 1) for share in (0.5, 0.99))  # type: ignore[return-value]


def page(numbers: Numbers, doing: str) -> RenderableType:
    """The live page."""
    states = _table("inbox", [(state, count) for state, count in numbers.states.items()])
    flow = _table(
        "flow",
        [
            ("accepted", numbers.counts.get("accepted", 0)),
            ("repeats answered alike", numbers.counts.get("repeats", 0)),
            ("accept p50 / p99", _pair(numbers.accept_ms)),
            ("to Kafka p50 / p99", _pair(numbers.end_to_end_ms)),
            ("journal at", numbers.journal_id),
            ("relay behind", numbers.lag),
            ("open tasks", numbers.open_tasks),
        ],
    )
    topics = _table("on Kafka", list(numbers.by_topic.items()) or [("nothing yet", "")])
    lines: list[RenderableType] = [
        Text.assemble((f"{numbers.elapsed_s:5.1f} s  ", "bold"), f"{numbers.services} services  ", (doing, "dim")),
        Columns([states, flow, topics], padding=(0, 1)),
    ]
    if numbers.trouble or numbers.surprises:
        lines.append(Text(numbers.trouble or f"{numbers.surprises} surprises", style="yellow"))
    return Group(*lines)


def plain_line(numbers: Numbers, doing: str) -> str:
    """The same in one line."""
    states = " ".join(f"{state}={count}" for state, count in numbers.states.items())
    on_kafka = sum(numbers.by_topic.values())
    return (
        f"{numbers.elapsed_s:5.1f} s  accepted={numbers.counts.get('accepted', 0)} {states} "
        f"accept_ms={_pair(numbers.accept_ms)} to_kafka_ms={_pair(numbers.end_to_end_ms)} "
        f"journal={numbers.journal_id} relay_behind={numbers.lag} on_kafka={on_kafka}  {doing}"
        + (f"  ({numbers.trouble})" if numbers.trouble else "")
    )


def _table(title: str, rows: Sequence[tuple[str, object]]) -> Panel:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(Text(name, style=STYLES.get(name, "")), str(value))
    return Panel(table, title=title, border_style="dim", expand=False)


def _pair(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.0f}/{pair[1]:.0f}"
