"""A run's chart as the lines of a tree: each step once, after what it waits for, branches further in. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from webapp.cli.output import STYLES, clean

_MARKS = {
    "pending": "·",
    "ready": "○",
    "running": "▶",
    "retrying": "↻",
    "waiting": "…",
    "succeeded": "✓",
    "failed": "✗",
    "timed_out": "⧖",
    "skipped": "-",
    "cancelled": "⊘",
}
_QUIET = frozenset({"pending", "ready", "skipped", "cancelled"})
_DEEPEST = 12
_ERROR = 100
_AFTER = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One node of the chart: how far in it stands, and the labels of what it waits for besides the line above."""

    depth: int
    node: Mapping[str, Any]
    after: tuple[str, ...] = ()


def lines(chart: Mapping[str, Any]) -> list[Line]:
    """The chart's nodes as lines. What follows alone stands under its parent, branches stand further in, and where
    branches meet again the line stands out again and names all that it waits for."""
    nodes: Sequence[Mapping[str, Any]] = chart["nodes"]
    parents: dict[int, list[int]] = {node["id"]: [] for node in nodes}
    children: dict[int, list[int]] = {node["id"]: [] for node in nodes}
    for above, below in chart["edges"]:
        parents[below].append(above)
        children[above].append(below)
    label = {node["id"]: str(node["label"]) for node in nodes}
    by_id = {node["id"]: node for node in nodes}
    depth: dict[int, int] = {}
    found: list[Line] = []
    todo = [node["id"] for node in reversed(nodes) if not parents[node["id"]]]
    left = {number: len(above) for number, above in parents.items()}
    while todo:
        number = todo.pop()
        depth[number] = _depth(parents[number], children, depth)
        after = tuple(label[above] for above in parents[number]) if len(parents[number]) > 1 else ()
        found.append(Line(depth[number], by_id[number], after))
        for child in reversed(children[number]):
            left[child] -= 1
            if left[child] == 0:
                todo.append(child)
    return found


def _depth(above: Sequence[int], children: Mapping[int, Sequence[int]], depth: Mapping[int, int]) -> int:
    if not above:
        return 0
    if len(above) == 1:
        return min(_DEEPEST, depth[above[0]] + (len(children[above[0]]) > 1))
    return max(0, min(depth[parent] for parent in above) - 1)


def line_text(line: Line, now: datetime) -> Text:
    """One line with its state, time and what there is to say of it."""
    node = line.node
    state = str(node["state"])
    style = STYLES.get(state, "dim" if state in _QUIET else "")
    text = Text("  " * line.depth)
    text.append(f"{_MARKS.get(state, '?')} {clean(str(node['label']))}", style=style)
    if node["count"] > 1:
        text.append(f" ({node['count']} steps: {counts(node['states'])})", style="dim")
    else:
        text.append(f"  {state}", style=style)
    took = seconds_between(node["started_at"], node["finished_at"], now)
    if took is not None:
        text.append(f"  {duration(took)}", style="dim")
    for remark in _remarks(line):
        text.append(f"  {clean(remark)}", style="dim")
    if node["error"] and state in ("failed", "timed_out", "retrying"):
        text.append(f"  {clean(str(node['error']))[:_ERROR]}", style="red")
    return text


def _remarks(line: Line) -> list[str]:
    found = []
    if (line.node["attempt"] or 0) > 1:
        found.append(f"attempt {line.node['attempt']}")
    if line.node["waits_for"]:
        found.append(f"for a {line.node['waits_for']}" if line.node["waits_for"] != "items" else _items(line.node))
    if line.node["state"] == "ready" and line.node["queue"]:
        found.append(f"for a worker of {line.node['queue']}")
    if line.after:
        more = f" and {len(line.after) - _AFTER} more" if len(line.after) > _AFTER else ""
        found.append(f"after {', '.join(line.after[:_AFTER])}{more}")
    return found


def _items(node: Mapping[str, Any]) -> str:
    left = node.get("items_open")
    return "for its items" if left is None else f"for {left} more item{'' if left == 1 else 's'}"


def counts(states: Mapping[str, int]) -> str:
    """``3 succeeded, 1 failed``."""
    return ", ".join(f"{count} {state}" for state, count in states.items())


def head_text(chart: Mapping[str, Any], now: datetime) -> Text:
    """The run itself in one line: its name, state, time, and how many steps are where."""
    state = str(chart["state"])
    version = f" {chart['version']}" if chart["version"] else ""
    took = seconds_between(chart["created_at"], chart["finished_at"], now) or 0.0
    done = sum(chart["states"].get(one, 0) for one in ("succeeded", "skipped"))
    return Text.assemble(
        (clean(f"{chart['name']}{version}"), "bold"),
        "  ",
        (state, STYLES.get(state, "")),
        f"  {duration(took)}  {done}/{chart['step_count']} steps",
    )


def moment(value: Any) -> datetime | None:
    """A time as HTTP or the database gives it."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def seconds_between(begin: Any, end: Any, now: datetime) -> float | None:
    """From ``begin`` to ``end``, or to now where it has not come; None before it began."""
    began = moment(begin)
    if began is None:
        return None
    return max(0.0, ((moment(end) or now) - began).total_seconds())


def duration(seconds: float) -> str:
    """``42 ms``, ``3.1 s``, ``2 m 05 s``, ``1 h 02 m``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} m"


def now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
