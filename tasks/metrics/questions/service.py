"""The questions that callers ask: performance, time series, leaderboard, comparison, recommendation."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from tasks.db.pool import Database
from tasks.errors import FieldError, ValidationFailed
from tasks.metrics.prices.service import PriceService
from tasks.metrics.questions import comparison, recommendation, scoring, store
from tasks.metrics.questions.comparison import Comparison
from tasks.metrics.questions.evidence import Evidence
from tasks.metrics.questions.recommendation import Constraints, Recommendation
from tasks.metrics.questions.scoring import Score
from tasks.metrics.questions.store import Filter
from tasks.metrics.questions.summary import DIMENSIONS, Summary
from tasks.metrics.questions.window import Window

RECOMMENDED_BY = timedelta(days=7)
MOST_COMPARED = 12
_EVIDENCE_KEPT_S = 10.0
_REMEMBERED = 1000


@dataclass(frozen=True)
class _Remembered:
    evidence: Mapping[str, Evidence]
    read_at: float


class QuestionService:
    """Answers from rollups. What recommendations are made of is remembered for 10 s, so they are quick."""

    def __init__(self, db: Database, prices: PriceService) -> None:
        self._db = db
        self._prices = prices
        self._known: dict[tuple[str | None, str | None, timedelta], _Remembered] = {}
        self._lock = threading.Lock()

    def performance(
        self, window: Window, by: Sequence[str] = ("model",), wanted: Filter | None = None
    ) -> list[Summary]:
        """A summary for each group by the dimensions ``by``, in their order. Raises ValidationFailed."""
        dimensions = _dimensions(by)
        with self._db.transaction() as tx:
            return store.summaries(tx, self._prices.book(), window, dimensions, wanted)

    def timeseries(
        self,
        window: Window,
        by: Sequence[str] = ("model",),
        wanted: Filter | None = None,
        width: timedelta | None = None,
    ) -> tuple[Window, timedelta, list[Summary]]:
        """The window widened to whole buckets, the buckets' width, and a summary for each group and bucket with data.

        ``width`` is chosen for about 50 points where it is not given. Raises ValidationFailed.
        """
        dimensions = _dimensions(by)
        widened, width = window.buckets(width)
        with self._db.transaction() as tx:
            return widened, width, store.summaries(tx, self._prices.book(), widened, dimensions, wanted, width)

    def leaderboard(
        self, window: Window, wanted: Filter | None = None, least: int = recommendation.LEAST_EXECUTIONS
    ) -> dict[str, list[tuple[int, Score]]]:
        """By task type, the ranked scores of models with at least ``least`` executions, the best first."""
        with self._db.transaction() as tx:
            found = store.summaries(
                tx, self._prices.book(), window, ("task_type", "model"), wanted, first_tokens=False
            )
        boards: dict[str, list[Evidence]] = {}
        for summary in found:
            if summary.executions >= least:
                boards.setdefault(summary.of["task_type"], []).append(summary.as_evidence())
        return {task_type: scoring.ranked(models) for task_type, models in boards.items()}

    def compare(
        self,
        models: Sequence[str],
        window: Window,
        wanted: Filter | None = None,
        least: int = comparison.LEAST_EXECUTIONS,
    ) -> tuple[list[Evidence], list[Comparison]]:
        """What is known of each of ``models``, and every pair of them compared by every metric.

        Raises:
            ValidationFailed: fewer than two models, or more than twelve.
        """
        names = list(dict.fromkeys(models))
        if not 2 <= len(names) <= MOST_COMPARED:
            detail = f"must name 2 to {MOST_COMPARED} different models, not {len(names)}"
            raise ValidationFailed("There is nothing to compare.", errors=[FieldError("/model", detail)])
        chosen = wanted or Filter()
        filtered = Filter(names, chosen.provider, chosen.task_type, chosen.model_tier, chosen.environment)
        with self._db.transaction() as tx:
            found = store.summaries(tx, self._prices.book(), window, ("model",), filtered, first_tokens=False)
        known = {summary.of["model"]: summary.as_evidence() for summary in found}
        evidence = [known.get(name, Evidence(name)) for name in names]
        return evidence, comparison.compare(evidence, least)

    def recommend(
        self,
        task_type: str | None,
        constraints: Constraints | None = None,
        candidates: Sequence[str] | None = None,
        *,
        environment: str | None = None,
        length: timedelta = RECOMMENDED_BY,
        random: Random | None = None,
        exploration: float = recommendation.EXPLORATION,
    ) -> Recommendation:
        """Ranks ``candidates`` (None: all that were seen) for a task type, by the last ``length``.

        The choice is the best one without ``random``; with it, it explores, and the same seed makes the same choice.
        Raises DatabaseUnavailable and DatabaseBusy where nothing is remembered.
        """
        known = self.evidence(task_type, environment=environment, length=length)
        return recommendation.recommend(known, constraints or Constraints(), candidates, random, exploration)

    def evidence(
        self, task_type: str | None, *, environment: str | None = None, length: timedelta = RECOMMENDED_BY
    ) -> Mapping[str, Evidence]:
        """By model, what is known of it for a task type (None: for all) from the last ``length``, up to 10 s old."""
        key = (task_type, environment, length)
        remembered = self._known.get(key)
        if remembered is None or time.monotonic() - remembered.read_at > _EVIDENCE_KEPT_S:
            remembered = _Remembered(self._read(task_type, environment, length), time.monotonic())
            with self._lock:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[key] = remembered
        return remembered.evidence

    def _read(self, task_type: str | None, environment: str | None, length: timedelta) -> dict[str, Evidence]:
        window = Window.last(length, datetime.now(UTC))
        wanted = Filter(task_type=task_type, environment=environment)
        with self._db.transaction() as tx:
            found = store.summaries(tx, self._prices.book(), window, ("model",), wanted, first_tokens=False)
        return {summary.of["model"]: summary.as_evidence() for summary in found if summary.executions}


def _dimensions(by: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in by if name not in DIMENSIONS]
    if unknown:
        allowed = ", ".join(DIMENSIONS)
        raise ValidationFailed(
            "There is no such dimension.",
            errors=[FieldError("/group_by", f"must be of {allowed}, not {unknown[0]!r}")],
        )
    return tuple(dict.fromkeys(by))
