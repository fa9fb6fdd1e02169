"""Model metrics while workers are killed, Valkey is emptied and PostgreSQL killed: every execution counts once.

Batches travel as chords of small chunks, so that kills and losses fall in the midst of them. ``--rounds N`` makes it
N times as long.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from kombu.exceptions import OperationalError

from tasks.db.pool import Database
from tasks.errors import BridgeError
from tasks.metrics.model import Execution
from tasks.metrics.service import MetricsService
from tasks.queue.app import create_celery
from tests.fault.chaos import Chaos
from tests.integration.tasks.metrics.conftest import many
from tests.integration.tasks.metrics.expected import SELECT_ROLLUPS, as_told, rollups_of

BATCHES_A_ROUND = 40
ROWS = 200
KILLS_A_ROUND = 3
# Of five rounds: how often Valkey is emptied, and PostgreSQL killed and started again.
OTHERS_IN_FIVE = 4
SETTLED_WITHIN_S = 90.0
_ENVIRON = {"METRICS_CHUNK_ROWS": "40", "METRICS_LEASE_S": "2", "HINT_GRACE_S": "1"}
_BROKEN = (BridgeError, OperationalError, redis.RedisError, psycopg2.OperationalError)


class Recording(Chaos):
    """The same with one that records batches."""

    def __init__(self, folder: Path, logs: Path) -> None:
        super().__init__(folder, logs, "metrics", _ENVIRON, seed=5)
        self.db = Database(self.settings, "fault")
        self.app = create_celery(self.settings, role="fault")
        self._told_at = 0.0

    def close(self) -> None:
        """Ends everything."""
        self.db.close()
        self.app.bridge.close()
        self.app.close()
        super().close()

    def record(self, batches: list[list[Execution]]) -> None:
        """Records batches as a client does that sends again what was not answered."""
        service = MetricsService(self.db, self.settings, self._hint)
        for batch in batches:
            while True:
                try:
                    service.record(batch)
                    break
                except BridgeError:
                    time.sleep(0.05)

    def sweep(self) -> None:
        """What beat does."""
        if time.monotonic() - self._told_at > 1.0:
            self._told_at = time.monotonic()
            self.app.send_task("metrics.sweep", queue="metrics", expires=10)

    def left(self) -> int:
        """How many batches are not closed."""
        [row] = self.rows("SELECT count(*) AS count FROM metric_batches WHERE state <> 'closed'")
        return int(row["count"])

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What a query finds."""
        with self.db.transaction(statement_timeout_ms=30_000) as tx:
            return tx.all(sql)

    def _hint(self) -> None:
        with suppress(OperationalError):
            self.app.send_task("metrics.apply", queue="metrics")


@pytest.fixture
def chaos(server_folder: Path, tmp_path: Path) -> Iterator[Recording]:
    folder = server_folder / f"metrics-{os.urandom(4).hex()}"
    folder.mkdir(mode=0o711)
    made = Recording(folder, tmp_path)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_execution_counts_once(chaos: Recording, request: pytest.FixtureRequest) -> None:
    rounds = request.config.getoption("--rounds", default=1)
    others = math.ceil(OTHERS_IN_FIVE * rounds / 5)
    faults = [chaos.kill_a_worker] * (KILLS_A_ROUND * rounds) + [chaos.flush, chaos.restart_postgres] * others
    chaos.random.shuffle(faults)
    executions = many(BATCHES_A_ROUND * rounds * ROWS)
    batches = [executions[start : start + ROWS] for start in range(0, len(executions), ROWS)]
    for worker in chaos.workers:
        worker.wait_for(" ready.")
    recorder = threading.Thread(target=chaos.record, args=(batches,))
    recorder.start()
    next_at, deadline = time.monotonic(), time.monotonic() + SETTLED_WITHIN_S * rounds
    while True:
        try:
            chaos.sweep()
            left = chaos.left()
        except _BROKEN:
            left = 1
        if not (left or faults or recorder.is_alive()):
            break
        if faults and time.monotonic() > next_at:
            faults.pop()()
            next_at = time.monotonic() + chaos.random.uniform(0.3, 1.2)
        assert time.monotonic() < deadline, f"{left} batches are stuck; recording: {recorder.is_alive()}"
        time.sleep(0.1)
    stored = chaos.rows("SELECT * FROM model_executions")
    assert {row["execution_id"] for row in stored} == {execution.execution_id for execution in executions}
    assert as_told(chaos.rows(SELECT_ROLLUPS)) == rollups_of(stored)
    assert chaos.rows("SELECT sum(recorded)::int AS recorded, sum(counted)::int AS counted FROM metric_batches") == [
        {"recorded": len(executions), "counted": len(executions)}
    ]
    [told] = chaos.rows("SELECT count(DISTINCT aggregate_id) AS executions, count(*) AS rows FROM journal"
                        " WHERE aggregate_type = 'model-execution'")  # fmt: skip
    assert told == {"executions": len(executions), "rows": len(executions)}
