"""``omninode metrics`` on models of known truth."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import orjson
import pytest

from tasks.db.pool import Database
from tasks.metrics.prices.service import PriceService
from tasks.metrics.regressions.service import RegressionService
from tasks.metrics.service import MetricsService
from tasks.settings import Settings
from tests.integration.tasks.metrics.questions.conftest import roll_up, simulated
from tests.integration.webapp.cli.conftest import Run
from tests.unit.tasks.metrics.prices.test_files import SAMPLE


@pytest.fixture
def models(db: Database, settings: Settings) -> None:
    """quick takes 20 % less time than slow, and less of late than slow, which has become worse in the last hour."""
    source, now, week = Random(1), datetime.now(UTC), timedelta(days=8)
    executions = [
        execution
        for model, ms in (("quick", 800), ("slow", 1000))
        for execution in simulated(source, model, 2000, start=now - week, length=week - timedelta(hours=1), ms=ms)
    ]
    hour = {"start": now - timedelta(minutes=55), "length": timedelta(minutes=50)}
    executions += simulated(source, "slow", 80, ms=5000, usd=None, **hour)
    MetricsService(db, settings, lambda: None).record(executions)
    roll_up(db, settings)


@pytest.mark.usefixtures("models")
def test_figures_and_judgements_as_tables_and_as_json(run: Run, db: Database) -> None:
    table = run("metrics performance --window 30d").stdout.splitlines()
    assert table[0].split()[:3] == ["model", "count", "success"]
    assert [line.split()[:2] for line in table[1:]] == [["quick", "2000"], ["slow", "2080"]]
    grouped = orjson.loads(run("metrics performance --since 9d --by task_type --model slow --json").stdout)
    assert [(item["task_type"], item["count"]) for item in grouped["items"]] == [("testing", 2080)]
    series = orjson.loads(run("--json metrics timeseries --window 10d --bucket 86400 -m quick").stdout)
    assert sum(point["count"] for point in series["items"][0]["points"]) == 2000
    _, *points = run("metrics timeseries --window 10d -m quick").stdout.splitlines()
    assert len(points) > 20
    assert all(re.match(r"quick +\d{4}-\d\d-\d\d \d\d:\d\dZ +\d+ ", point) for point in points), points[0]

    board = run("metrics leaderboard --window 30d").stdout.splitlines()
    assert [line.split()[:3] for line in board[1:]] == [["testing", "1", "quick"], ["testing", "2", "slow"]]
    compared = run("metrics compare quick slow --window 30d").stdout
    [latency] = [line for line in compared.splitlines() if " latency " in line]
    assert "first better" in latency
    assert "-2" in latency
    assert "%" in latency
    made = orjson.loads(run("metrics compare quick slow other --window 30d --json").stdout)["comparisons"]
    assert len(made) == 12
    assert "not enough data" in run("metrics compare quick other --window 30d").stdout

    limits = "--min-quality 0.1 --max-cost-usd 1"
    advice = run(f"metrics recommend testing --window 30d {limits} -m quick -m slow -m new").stdout
    assert "not slow: mean cost is not known" in advice
    assert "not yet known: new, 0 executions" in advice
    assert advice.splitlines()[-1] == "take quick (best)"
    chosen = orjson.loads(run("metrics recommend --explore --seed 1 --window 30d --json").stdout)["choice"]
    assert chosen["how"] == "sampled"

    assert run("metrics regressions").stdout == "no regressions\n"
    RegressionService(db, PriceService(db)).check()
    [found] = orjson.loads(run("metrics regressions --state open --json").stdout)["items"]
    assert (found["model"], found["metric"]) == ("slow", "latency")
    assert "slow" in run("metrics regressions").stdout
    assert run("metrics compare quick").exit_code == 1
    assert run("metrics performance --window 3y").stderr.startswith("Error: ")


@pytest.mark.usefixtures("models")
def test_prices(run: Run, db: Database, tmp_path: Path) -> None:
    assert run("metrics prices list").stdout.startswith("no prices")
    file = tmp_path / "prices.json"
    file.write_bytes(orjson.dumps(SAMPLE))
    assert run(f"metrics prices import {file} --from 2026-01-01").stdout == (
        "4 new, 0 known, 2 not priced by the token; left out, since a price is no number from 0: acme-wrong\n"
    )
    assert orjson.loads(run(f"metrics prices import {file} --json").stdout)["known"] == 4

    def unpriced() -> int:
        items = orjson.loads(run("metrics performance --window 24h -m slow --json").stdout)["items"]
        return int(items[0]["unpriced_count"])

    assert unpriced() == 80
    assert run("metrics prices set slow --input 3 --output 15 --from 2026-01-01").stdout == "set\n"
    assert run("metrics prices set slow --input 3 --output 15").stdout == "held already\n"
    assert unpriced() == 0
    [line] = [line for line in run("metrics prices list slow").stdout.splitlines() if line.startswith("slow")]
    assert line.split()[1:5] == ["2026-01-01", "3", "15", "manual"]
    assert run("metrics prices remove slow 2026-01-01").stdout == "removed\n"
    assert unpriced() == 80
    assert run("metrics prices remove slow 2026-01-01").exit_code == 1
    file.write_text("[]")
    assert run(f"metrics prices import {file}").exit_code == 1
    with db.transaction() as tx:
        codes = [row["code"] for row in tx.all("SELECT code FROM security_audit_log ORDER BY id")]
    assert codes[:2] == ["model-prices-imported", "model-prices-imported"]
    assert codes[2:] == ["model-price-set", "model-price-set", "model-price-removed"]
