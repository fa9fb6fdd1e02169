"""Sums up what a bench measured: medians with min and max, ratios pair by pair against the bars; table and JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench.model import Bar, Bench, Outcome

TIMES = "\u00d7"


class Spread(NamedTuple):
    """The median of some runs, and between which values they lay."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of ``values``."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Verdict:
    """One bar, and what was measured against it."""

    bar: Bar
    values: list[float]

    @property
    def spread(self) -> Spread:
        """Of the ratios, or of the plain values where the bar has no baseline."""
        return Spread.of(self.values)

    @property
    def met(self) -> bool:
        """Whether the median keeps to the bar."""
        return self.bar.is_met_by(self.spread.median)


@dataclass(frozen=True)
class Report:
    """A bench's outcome, summed up."""

    bench: Bench
    outcome: Outcome
    taken_at: str
    machine: Mapping[str, object]
    smoke: bool

    @property
    def figures(self) -> dict[tuple[str, str], Spread]:
        """The spread of each (metric, side)."""
        first = self.outcome.rounds[0]
        places = [(metric, side) for side, sample in first.items() for metric in sample]
        places.sort(key=lambda place: _first_place(place[0], first))
        return {
            (metric, side): Spread.of([each[side][metric] for each in self.outcome.rounds]) for metric, side in places
        }

    @property
    def verdicts(self) -> list[Verdict]:
        """Each bar and what became of it."""
        return [Verdict(bar, bar.values(self.outcome.rounds)) for bar in self.bench.bars]

    def as_json(self) -> dict[str, Any]:
        """All that was measured, and the sums."""
        return {
            "bench": self.bench.name,
            "about": self.bench.about,
            "taken_at": self.taken_at,
            "smoke": self.smoke,
            "machine": dict(self.machine),
            "pairs": len(self.outcome.rounds),
            "figures": [
                {"metric": metric, "side": side, **spread._asdict()}
                for (metric, side), spread in self.figures.items()
            ],
            "bars": [
                {**asdict(verdict.bar), **verdict.spread._asdict(), "values": verdict.values, "met": verdict.met}
                for verdict in self.verdicts
            ],
            "rounds": self.outcome.rounds,
            "series": [each._asdict() for each in self.outcome.series],
            "notes": self.outcome.notes,
        }

    def write(self, folder: Path) -> Path:
        """Writes ``result.json``."""
        path = folder / "result.json"
        path.write_text(json.dumps(self.as_json(), indent=2) + "\n")
        return path

    def show(self, console: Console) -> None:
        """Prints both tables and the notes."""
        console.print(self._figure_table())
        if not self.smoke and self.bench.bars:
            console.print(self._bar_table())
        for note in self.outcome.notes:
            console.print(f"  {note}", highlight=False)

    def _figure_table(self) -> Table:
        pairs = len(self.outcome.rounds)
        table = Table(
            title=f"{self.bench.name}: {self.bench.about} (median of {pairs}, in turn)", title_justify="left"
        )
        for name in ("metric", "side"):
            table.add_column(name, no_wrap=True)
        for name in ("median", "min", "max"):
            table.add_column(name, justify="right")
        last = None
        for (metric, side), spread in self.figures.items():
            if last not in (None, metric):
                table.add_section()
            table.add_row("" if metric == last else metric, side, *map(figure, spread))
            last = metric
        return table

    def _bar_table(self) -> Table:
        table = Table()
        table.add_column("bar", no_wrap=True)
        table.add_column("what")
        for name in ("median", "min", "max", "wanted"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("")
        for verdict in self.verdicts:
            sign = TIMES if verdict.bar.baseline else ""
            mark = "[green]met[/green]" if verdict.met else "[red]missed[/red]"
            values = [f"{figure(value)}{sign}" for value in verdict.spread]
            table.add_row(verdict.bar.number, verdict.bar.what, *values, wanted(verdict.bar), mark)
        return table


def wanted(bar: Bar) -> str:
    """The bar in signs, such as ``≥ 4``."""
    sign = TIMES if bar.baseline else ""
    if bar.least is not None:
        return f"≥ {bar.least:g}{sign}"
    return f"< 1{sign}" if bar.most == 0.999 and sign else f"≤ {bar.most:g}{sign}"


def figure(value: float) -> str:
    """A number in as many digits as are worth reading."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _first_place(metric: str, first: Mapping[str, Mapping[str, float]]) -> int:
    order = list(dict.fromkeys(name for sample in first.values() for name in sample))
    return order.index(metric)
