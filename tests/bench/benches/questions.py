"""P13: percentiles of 30 days, ten million executions, from rollups against the raw rows; and how far they are off.

The window begins and ends in the midst of an hour, so that days, hours and minutes are read. What the raw rows give
is the exact answer that errors are taken from. The plans of the questions are left in ``plans.txt``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from tasks.db.pool import Database
from tasks.metrics.prices.model import PriceBook
from tasks.metrics.prices.service import PriceService
from tasks.metrics.questions import store
from tasks.metrics.questions.service import QuestionService
from tasks.metrics.questions.store import QUERIES, Filter
from tasks.metrics.questions.window import Window
from tests.bench import loaded
from tests.bench.model import Bar, Bench, BenchError, Outcome, Plan, Sample, Side
from tests.bench.pairs import in_turn
from tests.bench.system import ground_of

ALL, ALL_RAW = "rollups, all models", "raw rows, all models"
ONE, ONE_RAW = "rollups, one model", "raw rows, one model"
_ROWS_A_DAY, _SMOKE_ROWS = 333_334, 60
_REPEATS, _SMOKE_REPEATS = 9, 1
_TIMEOUT_MS = 120_000
_MODEL = "model-3"
_SINCE = loaded.START + timedelta(hours=7, minutes=23)
_WINDOW = Window(_SINCE, _SINCE + timedelta(days=30))
_A_DAY = Window.last(timedelta(days=1), _WINDOW.until)
_RAW = """
SELECT model, percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms)::double precision AS p95
FROM model_executions
WHERE started_at >= %(since)s AND started_at < %(until)s AND (%(model)s::text IS NULL OR model = %(model)s)
GROUP BY model
"""


def run(plan: Plan) -> Outcome:
    """Asks all four in turn, and once each what has no bar."""
    with _filled(plan) as db:
        sides = _Sides(db, plan.counted(_REPEATS, _SMOKE_REPEATS))
        rounds = in_turn(
            [
                Side(ALL_RAW, lambda: sides.raw(None)),
                Side(ALL, lambda: sides.rollups(None)),
                Side(ONE_RAW, lambda: sides.raw(_MODEL)),
                Side(ONE, lambda: sides.rollups(_MODEL)),
            ],
            plan,
        )
        notes = [
            f"{plan.counted(_ROWS_A_DAY, _SMOKE_ROWS) * loaded.DAYS:,} executions over {loaded.DAYS} days, "
            f"{loaded.MODELS} models, 4 task types; the window is 30 days from 7:23.",
            "From rollups a question gives all that /metrics/performance tells, from raw rows the 95th percentile "
            f"alone. ms is the median of {sides.repeats} from rollups, of one from raw rows.",
            "worst_error: of a model's 95th percentile, against the exact one of the raw rows.",
            *sides.others(),
        ]
        (plan.folder / "plans.txt").write_text("\n\n".join(sides.plans()))
    return Outcome(rounds, notes=notes)


@contextmanager
def _filled(plan: Plan) -> Iterator[Database]:
    if plan.smoke:
        with ground_of(plan) as ground:
            db = Database(ground.settings(), "bench")
            try:
                loaded.fill(db, _SMOKE_ROWS, plan.say)
                yield db
            finally:
                db.close()
    else:
        with loaded.kept(plan.folder.parent / "executions", _ROWS_A_DAY, plan.say) as db:
            yield db


class _Sides:
    def __init__(self, db: Database, repeats: int) -> None:
        self.repeats = repeats
        self._db = db
        self._questions = QuestionService(db, PriceService(db))
        self._exact: dict[str, float] = {}

    def raw(self, model: str | None) -> Sample:
        began = time.perf_counter()
        with self._db.transaction(statement_timeout_ms=_TIMEOUT_MS) as tx:
            found = tx.all(_RAW, _raw_parameters(model))
        seconds = time.perf_counter() - began
        self._exact |= {row["model"]: row["p95"] for row in found}
        return {"answers_per_s": 1 / seconds, "ms": 1e3 * seconds}

    def rollups(self, model: str | None) -> Sample:
        wanted = Filter(models=None if model is None else [model])
        times: list[float] = []
        for _ in range(self.repeats):
            began = time.perf_counter()
            found = self._questions.performance(_WINDOW, wanted=wanted)
            times.append(time.perf_counter() - began)
        seconds = statistics.median(times)
        p95 = {summary.of["model"]: summary.latency_ms["p95"] or 0.0 for summary in found}
        if len(p95) != (loaded.MODELS if model is None else 1):
            raise BenchError(f"the answer is about {sorted(p95)}")
        errors = [abs(p95[name] / self._exact[name] - 1) for name in p95]
        return {"answers_per_s": 1 / seconds, "ms": 1e3 * seconds, "worst_error": max(errors)}

    def others(self) -> list[str]:
        """What other questions took, in the median."""
        asked: dict[str, Callable[[], object]] = {
            "time series of 24 hours, by model": lambda: self._questions.timeseries(_A_DAY),
            "time series of 24 hours, by model, of one task type": lambda: self._questions.timeseries(
                _A_DAY, wanted=Filter(task_type="testing")
            ),
            "time series of 30 days, by model": lambda: self._questions.timeseries(_WINDOW),
            "leaderboard of 30 days": lambda: self._questions.leaderboard(_WINDOW),
            "performance of 30 days, by model and task type": lambda: self._questions.performance(
                _WINDOW, ("model", "task_type")
            ),
        }
        return [f"{name}: {1e3 * self._median_s(ask):.1f} ms" for name, ask in asked.items()]

    def plans(self) -> list[str]:
        """The plans of the questions, with what was read."""
        book = PriceBook(())
        made = {
            "all models, 30 days": store.parameters(book, _WINDOW, ("model",)),
            "one model, 30 days": store.parameters(book, _WINDOW, ("model",), Filter(models=[_MODEL])),
            "leaderboard, 30 days": store.parameters(book, _WINDOW, ("task_type", "model")),
            "time series, 24 hours": store.parameters(book, _A_DAY, ("model",), width=timedelta(minutes=30)),
        }
        shown = [
            self._plan(f"{what}: {query}", QUERIES[query], parameters)
            for what, parameters in made.items()
            for query in ("totals", "without_cost")
        ]
        return [*shown, *(self._plan(f"raw rows, {model or 'all models'}", _RAW, _raw_parameters(model))
                          for model in (None, _MODEL))]  # fmt: skip

    def _plan(self, title: str, sql: str, parameters: Mapping[str, Any]) -> str:
        with self._db.transaction(statement_timeout_ms=_TIMEOUT_MS) as tx:
            rows = tx.all("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) " + sql, parameters)
        return "\n".join([f"-- {title}", *(row["QUERY PLAN"] for row in rows)])

    def _median_s(self, ask: Callable[[], object]) -> float:
        times = []
        for _ in range(self.repeats):
            began = time.perf_counter()
            ask()
            times.append(time.perf_counter() - began)
        return statistics.median(times)


def _raw_parameters(model: str | None) -> dict[str, Any]:
    return {"since": _WINDOW.since, "until": _WINDOW.until, "model": model}


BENCH = Bench(
    "questions",
    "percentiles of 30 days, ten million executions",
    (
        Bar("P13", "p95 of all models against raw rows", "answers_per_s", ALL, ALL_RAW, least=100.0),
        Bar("P13", "p95 of one model against raw rows", "answers_per_s", ONE, ONE_RAW, least=100.0),
        Bar("P13", "error of the 95th percentile", "worst_error", ALL, most=0.01),
    ),
    run,
)
