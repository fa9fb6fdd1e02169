"""The watch for regressions on real rollups: one row and event for each, no second alarm, an end when it is over."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.errors import ValidationFailed
from tasks.metrics.model import Execution
from tasks.metrics.prices.service import PriceService
from tasks.metrics.regressions import store
from tasks.metrics.regressions.model import Subject
from tasks.metrics.regressions.service import RegressionService
from tests.integration.tasks.metrics.questions.conftest import START, Told, prices, simulated, told

__all__ = ["prices", "told"]

Rows = Callable[..., list[dict[str, Any]]]
NOW = START + timedelta(days=8)
HOUR = timedelta(hours=1)


@pytest.fixture
def regressions(db: Database, prices: PriceService) -> RegressionService:
    return RegressionService(db, prices)


def past(source: Random, model: str, **truth: Any) -> list[Execution]:
    """Eight days of a model, up to an hour before ``NOW``."""
    return simulated(source, model, 2500, length=timedelta(days=8) - HOUR, **truth)


def lately(source: Random, model: str, count: int = 80, hours: int = 0, **truth: Any) -> list[Execution]:
    """The hour that ends ``hours`` after ``NOW``."""
    return simulated(source, model, count, start=NOW - HOUR + hours * HOUR, length=HOUR, **truth)


def test_a_regression_is_found_once_told_once_and_resolved(
    regressions: RegressionService, told: Told, rows: Rows
) -> None:
    source = Random(1)
    told([*past(source, "slow"), *lately(source, "slow", ms=2500), *past(source, "same"), *lately(source, "same")])
    first = regressions.check(NOW)
    assert (first.models, len(first.opened), first.resolved) == (2, 1, ())
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: regressions.check(NOW), range(4)))
    assert all(check.opened == check.resolved == () for check in again)
    [row] = rows("SELECT * FROM model_regressions")
    assert (row["model"], row["task_type"], row["environment"]) == ("slow", "testing", "development")
    assert (row["metric"], row["stretch"], row["state"], row["since"]) == ("latency", "hour", "open", NOW - HOUR)
    assert (row["baseline"], row["current"]) == (pytest.approx(1000, rel=0.05), pytest.approx(2500, rel=0.1))
    assert (row["executions"], row["baseline_executions"]) == (80, pytest.approx(2200, abs=300))
    assert row["p_value"] < 1e-6

    told(lately(source, "slow", hours=2))
    over = regressions.check(NOW + 2 * HOUR)
    assert (over.opened, over.resolved) == ((), first.opened)
    assert regressions.check(NOW + 2 * HOUR).resolved == ()
    [row] = rows("SELECT state, resolution, resolved_at, resolved_value, version FROM model_regressions")
    assert (row["state"], row["resolution"], row["version"]) == ("resolved", "recovered", 2)
    assert row["resolved_value"] == pytest.approx(1000, rel=0.15)
    journal = rows("SELECT * FROM journal WHERE aggregate_type = 'model-regression' ORDER BY id")
    assert [(entry["event_type"], entry["version"]) for entry in journal] == [
        ("model-regression-detected", 1), ("model-regression-resolved", 2),
    ]  # fmt: skip
    assert journal[0]["payload"]["model"] == "slow"
    assert journal[0]["payload"]["change"] == pytest.approx(1.5, abs=0.3)


def test_each_metric_and_a_price_that_rose(
    regressions: RegressionService, prices: PriceService, told: Told, rows: Rows
) -> None:
    source = Random(2)
    told(
        [
            *past(source, "failing"), *lately(source, "failing", success=0.6),
            *past(source, "dull"), *lately(source, "dull", quality=0.5),
            *past(source, "dear", usd=None), *lately(source, "dear", usd=None, hours=1),
        ]
    )  # fmt: skip
    prices.set("dear", 1e-6, 4e-6, START.date())
    prices.set("dear", 3e-6, 9e-6, NOW.date())
    regressions.check(NOW)
    regressions.check(NOW + HOUR)
    found = rows("SELECT model, metric FROM model_regressions ORDER BY model")
    assert {(row["model"], row["metric"]) for row in found} == {
        ("failing", "errors"), ("dull", "quality"), ("dear", "cost"),
    }  # fmt: skip


def test_blocks_are_what_the_raw_rows_add_up_to(prices: PriceService, told: Told, db: Database, rows: Rows) -> None:
    source = Random(3)
    told([*past(source, "m", usd=None), *lately(source, "m", usd=0.01), *past(source, "other")])
    prices.set("m", 1e-6, 2e-6, date(2020, 1, 1))
    with db.transaction() as tx:
        [(subject, history)] = store.histories(tx, prices.book(), "m", NOW).items()
    assert subject == Subject("m", "testing", "development")
    assert (len(history.hours), len(history.days)) == (169, 8)
    exact = rows(
        "SELECT date_trunc('hour', started_at) AS at, count(*) AS n, avg(ln(latency_ms))::float AS log,"
        " var_samp(ln(latency_ms))::float AS variance,"
        " avg(coalesce(cost_usd, input_tokens * 1e-6 + output_tokens * 2e-6))::float AS usd"
        " FROM model_executions WHERE model = 'm' GROUP BY 1 HAVING count(*) > 2"
    )
    checked = 0
    for row in exact:
        block = history.hours.get(row["at"])
        if block is not None:
            checked += 1
            assert block.outcomes.count == row["n"]
            assert block.log_latency.mean == pytest.approx(row["log"], abs=0.0055)
            assert block.log_latency.variance == pytest.approx(row["variance"], rel=0.15, abs=0.003)
            assert block.cost.mean == pytest.approx(row["usd"])
    assert checked > 150
    assert history.recent.outcomes.count == 80


def test_they_are_listed_by_page_and_filter(regressions: RegressionService, told: Told) -> None:
    source = Random(4)
    for model in ("a", "b", "c"):
        told([*past(source, model), *lately(source, model, ms=5000)])
    regressions.check(NOW)
    page = regressions.list(limit=2)
    rest = regressions.list(limit=2, cursor=page.next_cursor)
    assert sorted(row["model"] for row in (*page.items, *rest.items)) == ["a", "b", "c"]
    assert rest.next_cursor is None
    assert [row["model"] for row in regressions.list(model="b", state="open", metric="latency").items] == ["b"]
    assert regressions.list(state="resolved").items == []
    assert regressions.list(task_type="debugging").items == []
    with pytest.raises(ValidationFailed) as refused:
        regressions.list(state="lost", metric="mood", limit=0)
    assert [error.pointer for error in refused.value.errors] == ["/state", "/metric", "/limit"]


def test_one_that_lasts_a_week_is_accepted_even_when_the_model_is_gone(
    regressions: RegressionService, told: Told, rows: Rows
) -> None:
    source = Random(5)
    told([*past(source, "gone"), *lately(source, "gone", success=0.2)])
    regressions.check(NOW)
    assert regressions.check(NOW + timedelta(days=6)).resolved == ()
    assert len(regressions.check(NOW + timedelta(days=7)).resolved) == 1
    assert rows("SELECT resolution, resolved_value FROM model_regressions") == [
        {"resolution": "accepted", "resolved_value": None}
    ]
