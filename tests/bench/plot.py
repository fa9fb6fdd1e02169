"""Draws a report as one SVG: a panel for each metric, each run a dot, medians as bars; ratios against their bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.model import Series
from tests.bench.report import TIMES, Report, Verdict, figure, wanted

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C")  # Okabe and Ito, 2008
_OURS, _MISSED, _INK = "#0072B2", "#D55E00", "#333333"
_HIDDEN = ("client_cpu_percent",)
_ROW_INCHES = 0.34


def plot(report: Report, folder: Path) -> Path:
    """Writes ``plot.svg`` into ``folder``."""
    panels = _panels(report)
    curves = _by_unit(report.outcome.series)
    ratios = [] if report.smoke else report.verdicts
    heights = [max(1.1, 0.75 + _ROW_INCHES * len(rows)) for _, rows in panels]
    heights += [2.4] * len(curves)
    heights += [max(1.2, 0.8 + 0.5 * len(ratios))] if ratios else []
    with mpl.rc_context(
        {"font.size": 9, "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False}
    ):
        drawing = Figure(figsize=(8, sum(heights) + 0.6), layout="constrained")
        axes = drawing.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        drawing.suptitle(f"{report.bench.name}: {report.bench.about}", x=0.01, ha="left", weight="bold")
        for axis, (metric, rows) in zip(axes, panels, strict=False):
            _metric_panel(axis, metric, rows)
        for axis, (unit, lines) in zip(axes[len(panels) :], curves.items(), strict=False):
            _curve_panel(axis, unit, lines)
        if ratios:
            _bar_panel(axes[-1], ratios)
        path = folder / "plot.svg"
        drawing.savefig(path)
    return path


def _panels(report: Report) -> list[tuple[str, list[tuple[str, list[float]]]]]:
    panels: dict[str, list[tuple[str, list[float]]]] = {}
    for metric, side in report.figures:
        if metric not in _HIDDEN:
            values = [each[side][metric] for each in report.outcome.rounds]
            panels.setdefault(metric, []).append((side, values))
    return list(panels.items())


def _metric_panel(axis: Axes, metric: str, rows: list[tuple[str, list[float]]]) -> None:
    for place, (_, values) in enumerate(rows):
        ordered = sorted(values)
        median = ordered[len(ordered) // 2]
        axis.barh(place, median, color=_COLOURS[place % len(_COLOURS)], alpha=0.45, height=0.62)
        axis.plot(values, [place] * len(values), "o", color=_INK, ms=3, alpha=0.8)
        axis.annotate(figure(median), (max(values), place), (6, 0), textcoords="offset points", va="center")
    axis.set_yticks(range(len(rows)), [side for side, _ in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(left=0)
    axis.margins(x=0.12)
    axis.set_title(metric, loc="left", fontsize=9)


def _curve_panel(axis: Axes, unit: str, lines: list[Series]) -> None:
    names = list(dict.fromkeys(line.name for line in lines))
    for line in lines:
        colour = _COLOURS[names.index(line.name) % len(_COLOURS)]
        axis.plot(line.seconds, line.values, color=colour, lw=1.1, alpha=0.8)
    for place, name in enumerate(names):
        axis.plot([], [], color=_COLOURS[place % len(_COLOURS)], label=name)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("s")
    axis.set_title(unit, loc="left", fontsize=9)
    axis.legend(frameon=False, fontsize=8, loc="lower right")


def _bar_panel(axis: Axes, verdicts: list[Verdict]) -> None:
    """Everything as a share of its bar, so that bars of all kinds stand on one axis."""
    for place, verdict in enumerate(verdicts):
        limit = verdict.bar.least if verdict.bar.least is not None else verdict.bar.most
        assert limit is not None
        shares = [value / limit for value in verdict.values]
        spread = verdict.spread
        axis.plot([min(shares), max(shares)], [place, place], color=_INK, lw=1)
        axis.plot(spread.median / limit, place, "D", color=_OURS if verdict.met else _MISSED, ms=7)
        mark = "met" if verdict.met else "missed"
        sign = TIMES if verdict.bar.baseline else ""
        label = f"{figure(spread.median)}{sign}, wanted {wanted(verdict.bar)}: {mark}"
        axis.annotate(label, (max(shares), place), (9, 0), textcoords="offset points", va="center", fontsize=8)
    axis.axvline(1.0, color=_INK, lw=0.8, ls="--")
    axis.set_yticks(range(len(verdicts)), [f"{each.bar.number}  {each.bar.what}" for each in verdicts], fontsize=8)
    axis.set_ylim(len(verdicts) - 0.4, -0.6)
    axis.set_xlim(left=0)
    axis.margins(x=0.45)
    axis.set_title(
        "measured as a share of the bar (dashed); diamond: median, line: all pairs", loc="left", fontsize=9
    )


def _by_unit(series: list[Series]) -> dict[str, list[Series]]:
    found: dict[str, Any] = {}
    for each in series:
        found.setdefault(each.unit, []).append(each)
    return found
