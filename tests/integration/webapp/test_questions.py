"""Questions about models over HTTP: shapes of the contract, refusals with pointers, scopes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tasks.metrics.prices.service import PriceService
from tasks.metrics.service import MetricsService
from tasks.settings import Settings
from tests.integration.tasks.metrics.questions.conftest import roll_up, simulated
from tests.integration.webapp.support import client_with, pointers, problem_of
from webapp.services import of

NOW = datetime.now(UTC)
SOON = {"start": NOW - timedelta(hours=6), "length": timedelta(hours=5)}


@pytest.fixture
def reader(app: Flask) -> FlaskClient:
    """A client that may read metrics, on models of known truth: quick takes 10 % less time and has a price."""
    db, settings, source = of(app).runtime.db, of(app).settings, Random(1)
    executions = [
        *simulated(source, "quick", 600, ms=900, usd=None, provider="acme", **SOON),
        *simulated(source, "slow", 600, ms=1000, usd=None, success=0.8, **SOON),
        *simulated(source, "slow", 40, task_type="debugging", **SOON),
        *simulated(source, "new", 3, **SOON),
    ]
    MetricsService(db, settings, lambda: None).record(executions)
    roll_up(db, settings)
    PriceService(db).set("quick", 1e-6, 2e-6, (NOW - timedelta(days=2)).date())
    return client_with(app, "metrics:read")


def get(client: FlaskClient, path: str) -> dict[str, Any]:
    response = client.get(path)
    assert response.status_code == 200, response.get_data(as_text=True)
    body: dict[str, Any] = response.get_json()
    return body


def test_performance(reader: FlaskClient) -> None:
    body = get(reader, "/metrics/performance?group_by=model&group_by=task_type&task_type=testing")
    assert set(body) == {"items", "window"}
    by_model = {item["model"]: item for item in body["items"]}
    quick, slow = by_model["quick"], by_model["slow"]
    assert (quick["count"], quick["task_type"], quick["unpriced_count"]) == (600, "testing", 0)
    assert quick["cost_usd"] > 0
    assert (slow["cost_usd"], slow["unpriced_count"]) == (None, 600)
    assert set(quick["latency_ms"]) == {"mean", "p50", "p90", "p95", "p99"}
    assert quick["latency_ms"]["p50"] == pytest.approx(900, rel=0.08)
    assert quick["first_token_latency_ms"]["p50"] == pytest.approx(90, rel=0.08)
    assert quick["tokens_per_second"] > 0
    length = datetime.fromisoformat(body["window"]["until"]) - datetime.fromisoformat(body["window"]["since"])
    assert timedelta(hours=24) <= length <= timedelta(hours=25, minutes=1)
    [whole] = get(reader, "/metrics/performance?group_by=provider&provider=acme&model=quick&model=slow")["items"]
    assert (whole["provider"], whole["count"], "model" in whole) == ("acme", 600, False)
    assert get(reader, "/metrics/performance?window=5m")["items"] == []


def test_timeseries(reader: FlaskClient) -> None:
    body = get(reader, "/metrics/timeseries?window=7h&tier=large")
    assert body["bucket_s"] == 600
    assert [series["model"] for series in body["items"]] == ["new", "quick", "slow"]
    quick = body["items"][1]["points"]
    assert sum(point["count"] for point in quick) == 600
    assert all(datetime.fromisoformat(point["at"]).minute % 10 == 0 for point in quick)
    since = (NOW - timedelta(hours=7)).isoformat().replace("+00:00", "Z")
    hourly = get(reader, f"/metrics/timeseries?since={since}&bucket_s=3600&model=quick")
    assert len(hourly["items"][0]["points"]) in (5, 6)


def test_leaderboard(reader: FlaskClient) -> None:
    body = get(reader, "/metrics/leaderboard")
    boards = {board["task_type"]: board["entries"] for board in body["items"]}
    assert [(entry["rank"], entry["model"]) for entry in boards["testing"]] == [(1, "quick"), (2, "slow")]
    assert boards["testing"][1]["assumed"] == ["cost"]
    assert body["weights"] == {"success": 0.35, "quality": 0.35, "speed": 0.2, "cost": 0.1}
    assert [board["task_type"] for board in get(reader, "/metrics/leaderboard?task_type=debugging")["items"]] == [
        "debugging"
    ]


def test_compare(reader: FlaskClient) -> None:
    body = get(reader, "/metrics/compare?model=quick&model=slow&model=new&task_type=testing")
    made = {(c["first"], c["second"], c["metric"]): c for c in body["comparisons"]}
    assert len(made) == 12
    latency = made["quick", "slow", "latency"]
    assert latency["verdict"] == "first_better"
    assert latency["interval_low"] < latency["difference"] < latency["interval_high"] < 0
    assert latency["p_value"] <= latency["adjusted_p_value"] < 0.05
    assert "Welch" in latency["test"]
    assert made["quick", "slow", "success_rate"]["verdict"] == "first_better"
    assert made["quick", "slow", "cost"]["verdict"] == "not_enough_data"
    assert made["quick", "new", "latency"]["verdict"] == "not_enough_data"
    assert made["quick", "new", "latency"]["p_value"] is None
    assert body["models"][0]["success_interval"][0] < body["models"][0]["success_rate"]


def test_recommendations(reader: FlaskClient) -> None:
    body = get(reader, "/metrics/recommendations?task_type=testing&max_cost_usd=0.1")
    assert [entry["model"] for entry in body["items"]] == ["quick"]
    assert [(one["model"], one["reasons"]) for one in body["excluded"]] == [("slow", ["mean cost is not known"])]
    assert [one["model"] for one in body["unexplored"]] == ["new"]
    assert body["choice"] == {"model": "quick", "how": "best"}
    path = "/metrics/recommendations?task_type=testing&explore=true&seed="
    choices = [get(reader, f"{path}{seed}")["choice"] for seed in range(40)]
    assert choices == [get(reader, f"{path}{seed}")["choice"] for seed in range(40)]
    assert {choice["how"] for choice in choices} == {"sampled", "explored"}
    nothing = get(reader, "/metrics/recommendations?task_type=none")
    assert (nothing["items"], nothing["choice"]) == ([], None)


def test_regressions(app: Flask, reader: FlaskClient) -> None:
    assert get(reader, "/metrics/regressions") == {"items": [], "next": None}
    db, settings, source = of(app).runtime.db, of(app).settings, Random(2)
    eight = timedelta(days=8)
    metrics = MetricsService(db, settings, lambda: None)
    metrics.record(
        [
            *simulated(source, "m", 2500, start=NOW - eight, length=eight - timedelta(hours=1)),
            *simulated(source, "m", 90, start=NOW - timedelta(minutes=55), length=timedelta(minutes=50), ms=4000),
        ]
    )
    roll_up(db, settings)
    of(app).regressions.check()
    [found] = get(reader, "/metrics/regressions?state=open&limit=1")["items"]
    assert (found["model"], found["metric"], found["state"], found["resolved_at"]) == ("m", "latency", "open", None)
    assert found["change"] == pytest.approx(3, rel=0.3)


def test_what_is_not_asked_rightly(reader: FlaskClient, subtests: pytest.Subtests) -> None:
    cases = [
        ("performance?window=1y", "/window"),
        ("performance?window=0h", "/window"),
        ("performance?since=yesterday", "/since"),
        ("performance?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "/since"),
        ("performance?since=0001-01-01T00:00:00Z", "/since"),
        ("performance?since=2026-01-02T00:00:00Z&window=1h", "/since"),
        ("performance?until=9999-12-31T23:59:59Z", "/since"),
        ("performance?group_by=colour", "/group_by/0"),
        ("performance?tier=gigantic", "/tier"),
        ("performance?color=red", "/color"),
        ("timeseries?bucket_s=61", "/bucket_s"),
        ("timeseries?window=30d&bucket_s=60", "/bucket_s"),
        ("leaderboard?min_executions=0", "/min_executions"),
        ("compare", "/model"),
        ("compare?model=a", "/model"),
        ("compare?model=a&model=a", "/model"),
        ("recommendations?min_quality=2", "/min_quality"),
        ("recommendations?max_cost_usd=nan", "/max_cost_usd"),
        ("regressions?state=lost", "/state"),
        ("regressions?cursor=x", "/cursor"),
    ]
    for path, pointer in cases:
        with subtests.test(path=path):
            assert pointers(problem_of(reader.get(f"/metrics/{path}"), 422)) == [pointer]


def test_only_with_the_scope(app: Flask, anonymous: FlaskClient, web_settings: Settings) -> None:
    writer = client_with(app, "metrics:write")
    for name in ("performance", "timeseries", "leaderboard", "compare", "recommendations", "regressions"):
        assert anonymous.get(f"/metrics/{name}").status_code == 401
        assert writer.get(f"/metrics/{name}").status_code == 403
