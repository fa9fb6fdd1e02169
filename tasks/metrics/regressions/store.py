"""The table of regressions, the only place that changes it, each change with its journal row; and what shows them.

A finding is told as ``model-regression-detected``, its end as ``model-regression-resolved``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.ids import new_id
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.metrics.histogram import Histogram
from tasks.metrics.prices.model import PriceBook
from tasks.metrics.questions.summary import LEAST_LATENCY_MS, priced
from tasks.metrics.regressions.detection import Block
from tasks.metrics.regressions.history import BASELINES, DAY, HOUR, History
from tasks.metrics.regressions.model import Ending, Known, Opening, Subject
from tasks.metrics.statistics.moments import Moments
from tasks.metrics.statistics.proportions import Proportion

QUERIES = Queries("tasks.metrics.regressions", "regressions.sql")
AGGREGATE = "model-regression"
DETECTED = "model-regression-detected"
RESOLVED = "model-regression-resolved"


def models(tx: Transaction, now: datetime) -> list[str]:
    """The models to look at, by name."""
    return sorted(row["model"] for row in tx.all(QUERIES["models"], {"since": now - DAY - HOUR}))


def histories(tx: Transaction, book: PriceBook, model: str, now: datetime) -> dict[Subject, History]:
    """What is known of each subject of a model at ``now``, a whole minute."""
    hour = now.replace(minute=0)
    day = hour.replace(hour=0)
    parts = [
        ("recent", "minute", now - HOUR, now),
        ("hour", "hour", hour - BASELINES["hour"] - HOUR, hour),
        ("day", "day", day - BASELINES["day"] - DAY, day),
    ]
    names = ("kinds", "grains", "starts", "ends")
    parameters = {name: [part[place] for part in parts] for place, name in enumerate(names)}
    blocks: dict[Subject, dict[str, dict[datetime, Block]]] = defaultdict(
        lambda: {"recent": {}, "hour": {}, "day": {}}
    )
    for row in tx.all(QUERIES["blocks"], {**parameters, "model": model}):
        kept = blocks[Subject(model, row["task_type"], row["environment"])][row["kind"]]
        kept[row["at"]] = kept.get(row["at"], Block()) + _block(row, book, model)
    return {
        subject: History(now, found["recent"].get(now - HOUR, Block()), found["hour"], found["day"])
        for subject, found in blocks.items()
    }


def known(tx: Transaction, model: str, now: datetime) -> dict[Subject, list[Known]]:
    """The regressions of a model that are open, or ended so lately that they still touch a baseline."""
    since = now - BASELINES["day"] - timedelta(days=2)
    found: dict[Subject, list[Known]] = defaultdict(list)
    for row in tx.all(QUERIES["known"], {"model": model, "since": since}):
        found[Subject(model, row["task_type"], row["environment"])].append(
            Known(
                row["id"],
                row["metric"],
                row["stretch"],
                row["since"],
                row["detected_at"],
                row["resolved_at"],
                row["resolution"],
            )
        )
    return found


def open_(tx: Transaction, subject: Subject, opening: Opening, now: datetime) -> UUID | None:
    """Stores a finding as open and tells it; None where one is open already."""
    judged = opening.judgement
    row = {
        "id": new_id(),
        "model": subject.model,
        "task_type": subject.task_type,
        "environment": subject.environment,
        "metric": opening.metric,
        "stretch": opening.window,
        "since": opening.since,
        "detected_at": now,
        "baseline": judged.baseline,
        "current": judged.current,
        "change": judged.change,
        "p_value": judged.p_value,
        "executions": judged.executions,
        "baseline_executions": judged.baseline_executions,
    }
    if tx.one(QUERIES["open"], row) is None:
        return None
    _tell(tx, row["id"], 1, DETECTED, {**row, "state": "open"})
    return UUID(str(row["id"]))


def resolve(tx: Transaction, subject: Subject, ending: Ending, now: datetime) -> bool:
    """open → resolved, told; False where it was not open any more."""
    found = {
        "id": ending.known.id,
        "resolved_at": now,
        "resolution": ending.resolution,
        "resolved_value": None if ending.judgement is None else ending.judgement.current,
    }
    row = tx.one(QUERIES["resolve"], found)
    if row is None:
        return False
    names = {"model": subject.model, "task_type": subject.task_type, "environment": subject.environment}
    told = {**found, **names, "metric": ending.known.metric, "from": "open", "state": "resolved"}
    _tell(tx, row["id"], row["version"], RESOLVED, told)
    return True


def _tell(tx: Transaction, regression: Any, version: int, event_type: str, row: Mapping[str, Any]) -> None:
    payload = {"regression_id": str(regression)} | {name: value for name, value in row.items() if name != "id"}
    append(tx, [JournalEvent(AGGREGATE, str(regression), version, event_type, payload)])


def _block(row: Mapping[str, Any], book: PriceBook, model: str) -> Block:
    cost = Moments(int(row["cost_count"]), float(row["cost_sum"]), float(row["cost_sum_sq"]))
    price = book.price_of(model, row["provider"], row["at"]) if row["count"] else None
    return Block(
        Proportion(int(row["successes"]), int(row["executions"])),
        Histogram.from_packed(row["latency_histogram"]).log_moments(LEAST_LATENCY_MS),
        Moments(int(row["quality_count"]), float(row["quality_sum"]), float(row["quality_sum_sq"])),
        cost if price is None else cost + priced(row, price),
    )
