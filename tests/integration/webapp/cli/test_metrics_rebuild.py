"""``omninode metrics rebuild``: the same rows before and after, also while executions are being recorded."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from tasks.db.pool import Database
from tasks.metrics.applying import Applier
from tasks.metrics.service import MetricsService
from tasks.settings import Settings
from tests.integration.tasks.metrics.conftest import YESTERDAY, many
from tests.integration.tasks.metrics.expected import SELECT_ROLLUPS, as_told, rollups_of
from tests.integration.webapp.cli.conftest import Run


@pytest.fixture
def small_chunks(settings: Settings) -> Settings:
    return replace(settings, metrics_chunk_rows=40, metrics_lease_s=0.0)


def all_of(db: Database, sql: str) -> list[dict[str, Any]]:
    with db.transaction() as tx:
        return tx.all(sql)


def work_through(db: Database, settings: Settings) -> None:
    """Brings into the rollups what waits, chunk by chunk."""
    applier = Applier(db, settings)
    while applier.dispatch() or applier.apply_small() + applier.close_left():
        pass


def test_days_are_built_anew_beside_recording(run: Run, db: Database, small_chunks: Settings) -> None:
    metrics = MetricsService(db, small_chunks, lambda: None)
    metrics.record(many(300))
    work_through(db, small_chunks)
    before = as_told(all_of(db, SELECT_ROLLUPS))
    span = f"--from {(YESTERDAY - timedelta(days=3)).date()} --to {YESTERDAY.date()}"
    first = orjson.loads(run(f"metrics rebuild {span} --json").stdout)["items"]
    assert sum(day["executions"] for day in first) == 300
    assert [day["day"] for day in first] == [str((YESTERDAY - timedelta(days=back)).date()) for back in (3, 2, 1, 0)]
    assert as_told(all_of(db, SELECT_ROLLUPS)) == before

    def record() -> None:
        for number in range(12):
            metrics.record(many(60, f"w{number}", seed=number))
            work_through(db, small_chunks)

    recording = threading.Thread(target=record)
    recording.start()
    rebuilt = 0
    while recording.is_alive() or not rebuilt:
        assert run(f"metrics rebuild {span}").exit_code == 0
        rebuilt += 1
    recording.join()
    work_through(db, small_chunks)
    stored = all_of(db, "SELECT * FROM model_executions")
    assert len(stored) == 300 + 12 * 60
    assert as_told(all_of(db, SELECT_ROLLUPS)) == rollups_of(stored)
    told = all_of(db, "SELECT count(*) AS count FROM security_audit_log WHERE code = 'metrics-rebuilt'")
    assert told == [{"count": rebuilt + 1}]
