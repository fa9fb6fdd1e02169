"""Performance and time series from rollups, held against exact computations from the raw rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import pytest

from tasks.errors import ValidationFailed
from tasks.metrics.histogram import RELATIVE_ERROR
from tasks.metrics.prices.service import PriceService
from tasks.metrics.questions.service import QuestionService
from tasks.metrics.questions.store import Filter
from tasks.metrics.questions.window import HOUR, MINUTE, Window
from tests.integration.tasks.metrics.conftest import execution
from tests.integration.tasks.metrics.questions.conftest import START, Told, simulated

Rows = Callable[..., list[dict[str, Any]]]
WINDOW = Window.between(START, START + timedelta(days=3))
EXACT = """
SELECT {by}, count(*) AS count, avg(success::int)::float AS success_rate,
       avg(latency_ms)::float AS mean,
       (percentile_disc(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY latency_ms))::float[] AS percentiles,
       (percentile_disc(0.95) WITHIN GROUP (ORDER BY first_token_latency_ms))::float AS first_p95,
       avg(quality_score)::float AS quality, sum(input_tokens)::bigint AS input_tokens, sum(cost_usd)::float AS cost,
       count(*) FILTER (WHERE cost_usd IS NULL) AS unpriced, avg(ln(greatest(latency_ms, 0.001)))::float AS log_mean,
       var_samp(ln(greatest(latency_ms, 0.001)))::float AS log_variance,
       var_samp(quality_score)::float AS quality_variance, var_samp(cost_usd)::float AS cost_variance
FROM model_executions
WHERE started_at >= %(since)s AND started_at < %(until)s AND (%(task_type)s IS NULL OR task_type = %(task_type)s)
GROUP BY {by} ORDER BY {by}
"""


@pytest.fixture
def models(told: Told) -> None:
    source = Random(1)
    told(
        [
            *simulated(source, "a", 1500, ms=900, provider="x"),
            *simulated(source, "a", 700, ms=4000, task_type="debugging", environment="production"),
            *simulated(source, "b", 1200, ms=1000, usd=None, quality=None, model_tier="tiny"),
        ]
    )


WINDOWS = [
    (START, START + timedelta(days=3)),
    (START + timedelta(hours=5, minutes=17), START + timedelta(days=2, hours=22, minutes=3)),
    (START + timedelta(hours=5, minutes=17), START + timedelta(hours=6, minutes=3)),
    (START + timedelta(minutes=50), START + timedelta(hours=7)),
    (START - timedelta(days=40), START + timedelta(days=40)),
]


@pytest.mark.usefixtures("models")
def test_figures_are_those_of_the_raw_rows(questions: QuestionService, rows: Rows, subtests: pytest.Subtests) -> None:
    for since, until in WINDOWS:
        for by in (("model",), ("model", "task_type"), ("environment", "provider", "model_tier")):
            with subtests.test(since=since, until=until, by=by):
                _check(questions, rows, since, until, by)


def _check(questions: QuestionService, rows: Rows, since: datetime, until: datetime, by: tuple[str, ...]) -> None:
    exact = rows(EXACT.format(by=", ".join(by)), since=since, until=until, task_type=None)
    found = questions.performance(Window.between(since, until), by)
    assert [tuple(summary.of.values()) for summary in found] == [tuple(row[name] for name in by) for row in exact]
    for summary, row in zip(found, exact, strict=True):
        item = summary.as_item()
        assert (item["count"], item["input_tokens"], item["unpriced_count"]) == (
            row["count"], row["input_tokens"], row["unpriced"],
        )  # fmt: skip
        assert item["success_rate"] == pytest.approx(row["success_rate"])
        assert item["latency_ms"]["mean"] == pytest.approx(row["mean"])
        told_percentiles = [item["latency_ms"][name] for name in ("p50", "p90", "p95", "p99")]
        assert told_percentiles == pytest.approx(row["percentiles"], rel=RELATIVE_ERROR * 1.0001)
        assert item["first_token_latency_ms"]["p95"] == pytest.approx(row["first_p95"], rel=RELATIVE_ERROR * 1.0001)
        assert item["quality_score"] == (None if row["quality"] is None else pytest.approx(row["quality"]))
        assert item["cost_usd"] == (None if row["cost"] is None else pytest.approx(row["cost"]))
        assert summary.log_latency.mean == pytest.approx(row["log_mean"], abs=RELATIVE_ERROR)
        if row["count"] > 2:
            assert summary.log_latency.variance == pytest.approx(row["log_variance"], rel=0.02)
        if row["quality"] is not None and summary.quality.count > 2:
            assert summary.quality.variance == pytest.approx(row["quality_variance"])


@pytest.mark.usefixtures("models")
def test_filters_choose_the_executions(questions: QuestionService, rows: Rows) -> None:
    [row] = rows(EXACT.format(by="model"), since=WINDOW.since, until=WINDOW.until, task_type="debugging")
    [found] = questions.performance(WINDOW, ("model",), Filter(task_type="debugging"))
    assert (found.executions, found.of["model"]) == (row["count"], "a")
    assert {s.of["model"] for s in questions.performance(WINDOW, ("model",), Filter(["b"]))} == {"b"}
    assert questions.performance(WINDOW, ("model",), Filter(provider="x"))[0].executions == 1500
    assert questions.performance(WINDOW, ("model",), Filter(model_tier="tiny"))[0].of == {"model": "b"}
    assert questions.performance(WINDOW, ("model",), Filter(environment="nowhere")) == []
    [everything] = questions.performance(WINDOW, ())
    assert (everything.executions, everything.of) == (3400, {})
    with pytest.raises(ValidationFailed):
        questions.performance(WINDOW, ("colour",))


@pytest.mark.usefixtures("models")
def test_a_series_has_about_fifty_points_that_add_up(questions: QuestionService, rows: Rows) -> None:
    window, width, points = questions.timeseries(WINDOW, ("model",))
    assert width == timedelta(hours=2)
    assert 30 <= window.length / width <= 100
    for model in ("a", "b"):
        own = [point for point in points if point.of["model"] == model]
        assert [point.at for point in own] == sorted(point.at for point in own)
        [whole] = questions.performance(window, ("model",), Filter([model]))
        assert sum(point.executions for point in own) == whole.executions
        assert sum(point.cost.total for point in own) == pytest.approx(whole.cost.total)
    for width in (timedelta(minutes=30), timedelta(hours=6), timedelta(days=1)):
        _, _, coarse = questions.timeseries(WINDOW, ("model",), width=width)
        exact = rows(
            "SELECT model, date_bin(%(width)s, started_at, '2001-01-01T00:00Z') AS at, count(*) AS n,"
            " (percentile_disc(0.9) WITHIN GROUP (ORDER BY latency_ms))::float AS p90"
            " FROM model_executions GROUP BY 1, 2 ORDER BY 1, 2",
            width=width,
        )
        assert [(p.of["model"], p.at, p.executions) for p in coarse] == [(r["model"], r["at"], r["n"]) for r in exact]
        assert [p.latency_ms["p90"] for p in coarse] == pytest.approx(
            [row["p90"] for row in exact], rel=RELATIVE_ERROR * 1.0001
        )


def test_costs_come_from_the_price_of_the_day_and_unpriced_ones_are_kept_apart(
    questions: QuestionService, prices: PriceService, told: Told, rows: Rows
) -> None:
    source = Random(2)
    told(
        [
            *simulated(source, "priced", 900, usd=None, provider="x"),
            *simulated(source, "told", 300),
            *simulated(source, "dark", 50, usd=None),
        ]
    )
    first, later = date(2026, 3, 2), date(2026, 3, 4)
    prices.set("x/priced", 1e-6, 4e-6, first)
    prices.set("priced", 9.0, 9.0, first)
    prices.set("priced*", 9.0, 9.0, first)
    prices.set("x/priced", 3e-6, 5e-6, later)
    found = {summary.of["model"]: summary for summary in questions.performance(WINDOW, ("model",))}
    [exact] = rows(
        "SELECT sum(usd)::float AS sum, var_samp(usd)::float AS variance"
        " FROM (SELECT CASE WHEN started_at < '2026-03-04Z'"
        " THEN input_tokens * 1e-6 + output_tokens * 4e-6 ELSE input_tokens * 3e-6 + output_tokens * 5e-6 END AS usd"
        " FROM model_executions WHERE model = 'priced') AS costs"
    )
    priced = found["priced"]
    assert (priced.cost.count, priced.unpriced_count) == (900, 0)
    assert priced.cost.total == pytest.approx(exact["sum"])
    assert priced.cost.variance == pytest.approx(exact["variance"])
    assert (found["told"].cost.count, found["told"].unpriced_count) == (300, 0)
    assert found["dark"].as_item()["cost_usd"] is None
    assert found["dark"].unpriced_count == 50
    assert found["dark"].as_evidence().mean_cost_usd is None

    prices.set("dark", 1e-6, 1e-6, later)
    dark = questions.performance(WINDOW, ("model",), Filter(["dark"]))[0]
    assert 0 < dark.unpriced_count < 50
    assert dark.cost.count + dark.unpriced_count == 50
    assert dark.as_evidence().mean_cost_usd is None
    _, _, points = questions.timeseries(WINDOW, (), width=timedelta(days=1))
    assert [point.unpriced_count > 0 for point in points] == [True, True, False]


def test_nothing_is_known_of_an_empty_window_and_zero_latency_counts(questions: QuestionService, told: Told) -> None:
    assert questions.performance(WINDOW) == []
    told([execution("z", started_at=START, latency_ms=0, output_tokens=0)])
    [found] = questions.performance(Window.between(START, START + MINUTE))
    assert found.as_item()["latency_ms"] == {"mean": 0, "p50": 0, "p90": 0, "p95": 0, "p99": 0}
    assert found.as_item()["first_token_latency_ms"]["p50"] is None
    assert questions.performance(Window.between(START + MINUTE, START + HOUR)) == []
