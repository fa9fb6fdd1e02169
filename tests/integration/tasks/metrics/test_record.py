"""Recording: durable, told once, and a repeat changes nothing, whenever and beside whatever it comes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.errors import ValidationFailed
from tasks.metrics.model import MAX_BATCH, Recorded
from tasks.metrics.service import MetricsService
from tasks.settings import Settings
from tests.integration.tasks.metrics.conftest import AT, execution


def test_an_execution_is_a_row_with_its_batch_and_its_journal(metrics: MetricsService, rows: Any, hints: Any) -> None:
    full = execution(
        "e-1",
        provider="acme",
        environment="production",
        endpoint="http://gpu-1",
        completed_at=AT + timedelta(seconds=2),
        first_token_latency_ms=80.25,
        context_size=4096,
        task_complexity="complex",
        success=False,
        error_type="timeout",
        error_message="upstream sent: password=hunter2",
        quality_score=0.75,
        user_satisfaction=4,
        retry_count=2,
        escalated_to_tier="huge",
        cost_usd=0.0123,
        metadata={"api_key": "omni_x", "team": "search"},
    )
    recorded = metrics.record([full])
    assert recorded == Recorded(recorded.batch_id, frozenset())
    assert hints == ["hint"]
    [row] = rows("SELECT * FROM model_executions")
    kept = {name: getattr(full, name) for name in full.__struct_fields__}
    assert {name: row[name] if not hasattr(row[name], "as_tuple") else float(row[name]) for name in kept} == kept
    [batch] = rows("SELECT * FROM metric_batches")
    assert (batch["id"], batch["state"], batch["submitted"], batch["recorded"]) == (
        recorded.batch_id, "received", 1, 1,
    )  # fmt: skip
    [chunk] = rows("SELECT * FROM metric_chunks")
    assert (chunk["first_id"], chunk["last_id"], chunk["rows"], chunk["state"]) == (
        row["id"],
        row["id"],
        1,
        "waiting",
    )
    [told] = rows("SELECT * FROM journal WHERE aggregate_type = 'model-execution'")
    assert (told["aggregate_id"], told["event_type"], told["version"]) == ("e-1", "model-execution-recorded", 1)
    assert (told["payload"]["latency_ms"], told["payload"]["metadata"]["team"]) == (1200.5, "search")
    assert "hunter2" not in str(told["payload"])
    assert "omni_x" not in str(told["payload"])


def test_a_repeat_is_a_duplicate_in_the_same_batch_and_in_another(metrics: MetricsService, rows: Any) -> None:
    first = metrics.record([execution("a"), execution("b"), execution("a", latency_ms=7)])
    assert first.duplicates == frozenset()
    again = metrics.record([execution("b", started_at=AT + timedelta(days=3)), execution("c")])
    assert again.duplicates == {"b"}
    nothing = metrics.record([execution("a"), execution("c")])
    assert nothing == Recorded(None, frozenset({"a", "c"}))
    assert [row["execution_id"] for row in rows("SELECT execution_id FROM model_executions ORDER BY id")] == [*"abc"]
    assert rows("SELECT count(*) AS n FROM journal WHERE event_type = 'model-execution-recorded'") == [{"n": 3}]
    assert rows("SELECT submitted, recorded FROM metric_batches ORDER BY id") == [
        {"submitted": 2, "recorded": 2},
        {"submitted": 2, "recorded": 1},
    ]
    [kept] = rows("SELECT latency_ms FROM model_executions WHERE execution_id = 'a'")
    assert float(kept["latency_ms"]) == 1200.5


def test_a_large_batch_is_cut_into_chunks(db: Database, settings: Settings, rows: Any) -> None:
    metrics = MetricsService(db, replace(settings, metrics_chunk_rows=4), lambda: None)
    metrics.record([execution(f"e-{n}") for n in range(10)])
    chunks = rows("SELECT chunk, first_id, last_id, rows FROM metric_chunks ORDER BY chunk")
    assert [(chunk["chunk"], chunk["rows"]) for chunk in chunks] == [(0, 4), (1, 4), (2, 2)]
    ids = [row["id"] for row in rows("SELECT id FROM model_executions ORDER BY id")]
    assert [(chunk["first_id"], chunk["last_id"]) for chunk in chunks] == [
        (ids[0], ids[3]), (ids[4], ids[7]), (ids[8], ids[9]),
    ]  # fmt: skip


def test_concurrent_batches_with_common_ids_record_each_once(metrics: MetricsService, rows: Any) -> None:
    def post(offset: int) -> int:
        own = [execution(f"e-{n}") for n in range(offset, offset + 300)]
        own = own if offset % 2 else own[::-1]
        return len(own) - len(metrics.record(own).duplicates)

    offsets = [n * 37 for n in range(8)] * 2
    with ThreadPoolExecutor(8) as pool:
        recorded = list(pool.map(post, offsets))
    distinct = len({number for offset in offsets for number in range(offset, offset + 300)})
    assert sum(recorded) == distinct
    assert rows("SELECT count(*) AS n, count(DISTINCT execution_id) AS ids FROM model_executions") == [
        {"n": distinct, "ids": distinct}
    ]
    assert rows("SELECT sum(rows) AS n FROM metric_chunks") == [{"n": distinct}]
    assert rows("SELECT count(*) AS n FROM journal WHERE aggregate_type = 'model-execution'") == [{"n": distinct}]


def test_nothing_and_too_much(metrics: MetricsService) -> None:
    assert metrics.record([]) == Recorded(None, frozenset())
    with pytest.raises(ValidationFailed, match="too large"):
        metrics.record([execution("a")] * (MAX_BATCH + 1))
