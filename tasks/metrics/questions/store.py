"""Reads rollups and prices what told no cost. It changes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.metrics.prices.model import PriceBook
from tasks.metrics.questions.summary import DIMENSIONS, Summary, priced, summary_of
from tasks.metrics.questions.window import Window, grain_of
from tasks.metrics.statistics.moments import Moments

QUERIES = Queries("tasks.metrics.questions", "questions.sql")


@dataclass(frozen=True)
class Filter:
    """Which executions count; None: all."""

    models: Sequence[str] | None = None
    provider: str | None = None
    task_type: str | None = None
    model_tier: str | None = None
    environment: str | None = None


def summaries(
    tx: Transaction,
    book: PriceBook,
    window: Window,
    by: tuple[str, ...],
    wanted: Filter | None = None,
    width: timedelta | None = None,
    *,
    first_tokens: bool = True,
) -> list[Summary]:
    """One summary for each group by the dimensions ``by``, in order; with ``width`` one for each bucket of time,
    which then must divide the window. Without ``first_tokens`` their percentiles are left out, which is quicker.
    """
    asked = parameters(book, window, by, wanted, width, first_tokens=first_tokens)
    costs: dict[tuple[Any, ...], Moments] = defaultdict(Moments)
    unpriced: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in tx.all(QUERIES["without_cost"], asked):
        group = _group(row)
        price = book.price_of(row["model"], row["provider"], row["priced_at"])
        if price is None:
            unpriced[group] += int(row["count"])
        else:
            costs[group] += priced(row, price)
    found = []
    for row in tx.all(QUERIES["totals"], asked):
        group = _group(row)
        found.append(summary_of(row, by, costs[group], unpriced[group]))
    return sorted(found, key=lambda summary: (*summary.of.values(), summary.at))


def parameters(
    book: PriceBook,
    window: Window,
    by: tuple[str, ...],
    wanted: Filter | None = None,
    width: timedelta | None = None,
    *,
    first_tokens: bool = True,
) -> dict[str, Any]:
    """What the queries of this module are asked with."""
    wanted = wanted or Filter()
    parts = window.parts() if width is None else window.parts(grain_of(width))
    return {
        "by": list(by),
        "together": "task_type" not in by and wanted.task_type is None,
        "first_tokens": first_tokens,
        "width_s": None if width is None else width.total_seconds(),
        "origin": window.since,
        "grains": [part.grain for part in parts],
        "starts": [part.since for part in parts],
        "ends": [part.until for part in parts],
        "changes": book.changes(window.since, window.until),
        "models": None if wanted.models is None else list(wanted.models),
        "provider": wanted.provider,
        "task_type": wanted.task_type,
        "model_tier": wanted.model_tier,
        "environment": wanted.environment,
    }


def _group(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["at"], *(row[f"of_{name}"] for name in DIMENSIONS)
