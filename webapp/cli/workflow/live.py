"""Watches a run until it ends: a tree that is painted anew on a terminal, lines of what changed in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from tasks.errors import BridgeError, DatabaseBusy, DatabaseUnavailable
from tasks.workflows.chart import MOST_NODES, NODES
from tasks.workflows.states import RUN
from webapp.cli.api import ApiRefused, ApiUnreachable
from webapp.cli.session import Session
from webapp.cli.workflow.tree import counts, duration, head_text, line_text, lines, now, seconds_between

# Asks for the run's chart, with so many nodes at most.
Look = Callable[[int], dict[str, Any]]
_TICK_S = 0.2
_LOOK_S = 0.4
_LARGE_STEPS = 2_000
_LARGE_LOOK_S = 2.0
_LINES_AROUND = 6
_UNDER_WAY = ("running", "retrying", "waiting", "ready")


def watch(session: Session, run_id: str, look: Look, *, timeout_s: float | None) -> tuple[dict[str, Any], bool]:
    """Looks until the run ends or ``timeout_s`` has passed; returns the last chart, and whether the run has ended.

    A server that is away is waited for. Raises BridgeError where there is no such run, or it may not be seen.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    most = NODES if not session.out.is_terminal else _fitting(session)
    chart = look(most)
    with _shown(session, run_id) as show:
        trouble, looked_at = "", time.monotonic()
        show(chart, trouble)
        while not RUN.is_terminal(chart["state"]):
            left_s = _TICK_S if deadline is None else min(_TICK_S, deadline - time.monotonic())
            if left_s <= 0:
                return chart, False
            time.sleep(left_s)
            if time.monotonic() - looked_at >= (_LARGE_LOOK_S if chart["step_count"] > _LARGE_STEPS else _LOOK_S):
                try:
                    chart, trouble = look(most), ""
                except BridgeError as problem:
                    trouble = _passing(problem)
                looked_at = time.monotonic()
            show(chart, trouble)
    return chart, True


def _passing(problem: BridgeError) -> str:
    """What to say of an error that is waited out; any other is raised again."""
    passing = isinstance(problem, ApiUnreachable | DatabaseUnavailable | DatabaseBusy)
    if not passing and not (isinstance(problem, ApiRefused) and problem.answer_status in (429, 502, 503, 504)):
        raise problem
    return problem.detail


def _fitting(session: Session) -> int:
    return max(8, min(MOST_NODES, session.out.console.height - _LINES_AROUND))


def page(chart: Mapping[str, Any], run_id: str, trouble: str = "") -> RenderableType:
    """The whole of a run as it is now."""
    at = now()
    shown: list[RenderableType] = [head_text(chart, at)]
    shown += [line_text(line, at) for line in lines(chart)]
    for node in chart["nodes"]:
        if node["waits_for"] == "decision" and node["key"]:
            shown.append(Text(f"to decide: omninode workflow approve|reject {run_id} {node['key']}", style="yellow"))
    if trouble:
        shown.append(Text(trouble, style="yellow"))
    return Group(*shown)


Show = Callable[[Mapping[str, Any], str], None]


@contextmanager
def _shown(session: Session, run_id: str) -> Iterator[Show]:
    if session.as_json:
        yield lambda chart, trouble: None  # noqa: ARG005 - it has the form of the others
    elif session.out.is_terminal:
        with Live(console=session.out.console, auto_refresh=False, transient=False) as live:
            yield lambda chart, trouble: live.update(page(chart, run_id, trouble), refresh=True)
    else:
        yield _Changes(session).show


class _Changes:
    """Writes a line for each node that is in another state than before, and for the run."""

    def __init__(self, session: Session) -> None:
        self._out = session.out
        self._seen: dict[Any, Any] = {}
        self._trouble = ""

    def show(self, chart: Mapping[str, Any], trouble: str) -> None:
        """Writes what has changed since the last time."""
        at = now()
        elapsed_s = seconds_between(chart["created_at"], chart["finished_at"], at) or 0.0
        for node in chart["nodes"]:
            self._tell(node["id"], node["state"], elapsed_s, _node_line(node, at))
        self._tell("run", chart["state"], elapsed_s, f"{chart['name']}  {chart['state']}  {counts(chart['states'])}")
        if trouble and trouble != self._trouble:
            self._out.note(trouble)
        self._trouble = trouble

    def _tell(self, key: Any, state: str, elapsed_s: float, text: str) -> None:
        if self._seen.get(key, "pending") != state:
            self._out.line(f"{elapsed_s:7.1f} s  {text}")
        self._seen[key] = state


def _node_line(node: Mapping[str, Any], at: Any) -> str:
    parts = [str(node["label"]), str(node["state"])]
    if node["count"] > 1:
        parts.append(f"({counts(node['states'])})")
    took = seconds_between(node["started_at"], node["finished_at"], at)
    if took is not None and node["state"] not in _UNDER_WAY:
        parts.append(duration(took))
    if node["waits_for"]:
        parts.append(f"for {node['waits_for']}")
    if node["state"] == "ready" and node["queue"]:
        parts.append(f"for a worker of {node['queue']}")
    if node["error"] and node["state"] in ("failed", "timed_out", "retrying"):
        parts.append(str(node["error"]))
    return "  ".join(parts)
