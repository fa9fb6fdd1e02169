"""Runs one bench from beginning to end, and leaves table, JSON and plot in its folder."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.bench.machine import machine
from tests.bench.model import Bench, Plan
from tests.bench.plot import plot
from tests.bench.report import Report
from tests.bench.system import Standing


def run(
    bench: Bench,
    folder: Path,
    console: Console,
    *,
    pairs: int = 5,
    smoke: bool = False,
    say: Callable[[str], None],
    standing: Standing | None = None,
) -> Report:
    """Runs ``bench``; ``folder`` is made, and must not exist.

    Raises:
        BenchError: it could not be run, or a promise was broken under it.
        ServerError: a server did not start.
    """
    folder.mkdir(parents=True)
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    surroundings = machine(folder)
    outcome = bench.run(Plan(folder, 1 if smoke else pairs, smoke, say, standing))
    report = Report(bench, outcome, taken_at, surroundings, smoke)
    report.show(console)
    report.write(folder)
    plot(report, folder)
    with (folder / "table.txt").open("w") as file:
        report.show(Console(file=file, width=120))
    return report
