"""A real worker brings recorded batches into the rollups: chords with their bodies, and small ones together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tasks.db.pool import Database
from tasks.metrics.service import MetricsService
from tasks.queue.app import create_celery
from tasks.settings import Settings
from tests.integration.conftest import CeleryProcesses, wait_until
from tests.integration.tasks.metrics.conftest import many
from tests.integration.tasks.metrics.expected import SELECT_ROLLUPS, as_told, rollups_of


def test_chords_and_small_batches_are_applied_by_a_worker(
    db: Database, settings: Settings, celery_processes: CeleryProcesses, rows: Any
) -> None:
    chunked = replace(settings, metrics_chunk_rows=50)
    app = create_celery(chunked, role="test")
    worker = celery_processes.worker("metrics", METRICS_CHUNK_ROWS="50")
    try:
        metrics = MetricsService(db, chunked, lambda: app.send_task("metrics.apply", queue="metrics"))
        executions = many(1_000)
        for start, end in [(0, 400), (400, 430), (430, 1_000), (380, 440)]:
            metrics.record(executions[start:end])
        wait_until(
            lambda: rows("SELECT bool_and(state = 'closed') AS all FROM metric_batches") == [{"all": True}],
            what="all batches closed",
        )
    finally:
        app.bridge.close()
        app.close()
    assert as_told(rows(SELECT_ROLLUPS)) == rollups_of(rows("SELECT * FROM model_executions"))
    batches = rows("SELECT chunks, recorded, counted, dispatched_at IS NOT NULL AS sent FROM metric_batches"
                   " ORDER BY received_at")  # fmt: skip
    # The last batch has nothing new.
    assert batches == [
        {"chunks": 8, "recorded": 400, "counted": 400, "sent": True},
        {"chunks": 1, "recorded": 30, "counted": 30, "sent": False},
        {"chunks": 12, "recorded": 570, "counted": 570, "sent": True},
    ]
    assert "Traceback" not in worker.output()
    ended = rows("SELECT payload ->> 'state' AS state, count(*)::int AS n FROM journal"
                 " WHERE aggregate_type = 'metric-batch' GROUP BY 1 ORDER BY 1")  # fmt: skip
    assert ended == [{"state": "closed", "n": 3}, {"state": "received", "n": 3}]
