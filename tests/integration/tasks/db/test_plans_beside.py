"""Plans of what stands beside hooks, runs and rollups: signals, the cache, schedules, triggers, the lab, batches."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from tasks.db.pool import Database
from tests.integration.tasks.db.plans import check_plan, filled

ROWS = 20_000
# Of tables whose rows are so short that fewer are as well read through.
MANY = 60_000
LARGE = {
    "signals",
    "step_cache",
    "schedules",
    "schedule_ticks",
    "triggers",
    "trigger_firings",
    "lab_attempts",
    "lab_comparisons",
    "lab_requests",
    "metric_batches",
    "metric_chunks",
    "metric_points",
    "model_executions",
    "security_audit_log",
}
# Most rows are old and over; a few are open, due, or past what they are kept for.
FILL = f"""
CREATE FUNCTION pg_temp.id(n bigint) RETURNS uuid LANGUAGE sql RETURN lpad(to_hex(n), 32, '0')::uuid;
INSERT INTO definitions (id, name, version, content_hash, definition, step_count)
VALUES (pg_temp.id(1), 'wf', '1', 'h', '{{}}', 3);
INSERT INTO runs (id, definition_id, name, definition_version, state, priority, input, correlation_id, submitted_by,
                  open_leaves, started_at, finished_at, deadline_at)
SELECT pg_temp.id(n), pg_temp.id(1), 'wf', '1', 'succeeded', 5, '{{}}', 'c', 'ada', 0, now(), now(), now()
FROM generate_series(1, {ROWS} / 10) AS n;
INSERT INTO signals (id, run_id, name, payload, sent_by, taken_by, idempotency_scope, idempotency_key)
SELECT pg_temp.id(n), pg_temp.id(n / 10 + 1), 'go', '1', 'ada', CASE WHEN n % 100 <> 0 THEN 0 END, 'k', 'key-' || n
FROM generate_series(0, {ROWS} - 1) AS n;
INSERT INTO step_cache (key, output, run_id, expires_at)
SELECT 'key-' || n, '1', pg_temp.id(1), now() + (n - 20) * interval '1 minute' FROM generate_series(1, {ROWS}) AS n;
INSERT INTO schedules (id, name, state, every_s, timezone, jitter_s, catch_up, catch_up_limit, grace_s, overlap,
                       workflow, input, tags, metadata, next_tick, due_at, created_by)
SELECT pg_temp.id(n), 's-' || n, 'active', 60, 'UTC', 0, 'skip', 1, 0, 'allow', 'wf', '{{}}', '{{}}', '{{}}',
       now() + (n - 20) * interval '1 minute', now() + (n - 20) * interval '1 minute', 'ada'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO schedule_ticks (schedule_id, tick, outcome, run_id, recorded_at)
SELECT pg_temp.id(n % 200 + 1), now() - n * interval '1 minute', 'started', pg_temp.id(n % 2000 + 1),
       now() - n * interval '2 minutes'
FROM generate_series(1, {MANY}) AS n;
INSERT INTO triggers (id, name, state, families, event_types, sources, workflow, input, tags, metadata, created_by)
SELECT pg_temp.id(n), 't-' || n, 'paused', '{{hook}}', '{{*}}', '{{*}}', 'wf', '{{}}', '{{}}', '{{}}', 'ada'
FROM generate_series(1, {ROWS} / 4) AS n;
INSERT INTO trigger_firings (trigger_id, hook_id, hook_version, outcome, run_id, recorded_at)
SELECT pg_temp.id(n % 200 + 1), pg_temp.id(n), 1, 'started', pg_temp.id(n % 2000 + 1),
       now() - n * interval '2 minutes'
FROM generate_series(1, {MANY}) AS n;
INSERT INTO lab_attempts (execution_id, record, task_type, metadata, lease_until)
SELECT pg_temp.id(n), '{{}}', 'chat', '{{}}', now() + (n - 20) * interval '1 minute'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO lab_comparisons (id, state, models, correlation_id, idempotency_key, body_digest, deadline_at,
                             finished_at)
SELECT pg_temp.id(n), CASE WHEN n % 500 = 0 THEN 'running' ELSE 'succeeded' END, '{{m}}', 'c', 'key-' || n, '\\x00',
       now(), CASE WHEN n % 500 <> 0 THEN now() - n * interval '2 minutes' END
FROM generate_series(1, {MANY}) AS n;
INSERT INTO lab_requests (id, comparison_id, place, state, request, timeout_s, correlation_id, idempotency_key,
                          answer, lease_token, lease_until, hinted_at, finished_at)
SELECT pg_temp.id(n), CASE WHEN n % 2 = 0 THEN pg_temp.id(n / 2) END, 0, state, '{{}}', 10, 'c', 'key-' || n,
       CASE WHEN state = 'succeeded' THEN '1'::jsonb END,
       CASE WHEN state = 'running' THEN gen_random_uuid() END,
       CASE WHEN state = 'running' THEN now() + CASE WHEN n % 800 = 0 THEN '-1 s' ELSE interval '1 h' END END,
       now() - CASE WHEN n % 800 = 1 THEN interval '1 h' ELSE '0' END,
       CASE WHEN state = 'succeeded' THEN now() - n * interval '2 minutes' END
FROM (
    SELECT n, CASE n % 8 WHEN 0 THEN 'running' WHEN 1 THEN 'pending' ELSE 'succeeded' END AS state
    FROM generate_series(1, {ROWS}) AS n
) AS rows;
INSERT INTO metric_batches (id, source, state, submitted, recorded, chunks, counted, received_at, dispatched_at,
                            closed_at)
SELECT pg_temp.id(n), 'http', CASE WHEN n % 500 = 0 THEN 'received' ELSE 'closed' END, 1, 1, 1 + n % 2,
       CASE WHEN n % 500 <> 0 THEN 1 END, now() - n * interval '2 minutes', NULL,
       CASE WHEN n % 500 <> 0 THEN now() END
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO metric_chunks (batch_id, chunk, first_id, last_id, rows, state, applied_at)
SELECT pg_temp.id(n), 0, n, n, 1, CASE WHEN n % 500 = 0 THEN 'waiting' ELSE 'applied' END,
       CASE WHEN n % 500 <> 0 THEN now() END
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO model_executions (id, batch_id, execution_id, model, endpoint, model_tier, task_type, environment,
                              started_at, latency_ms, input_tokens, output_tokens, success)
SELECT n, pg_temp.id(n), 'e-' || n, 'model-' || n % 4, 'endpoint-' || n % 4, 'large', 'chat', 'dev',
       now() - n * interval '1 minute', 5, 5, 5, true
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO metric_points (id, batch_id, point_key, metric, kind, at, model, provider, task_type, model_tier,
                           environment, count, sum, sum_sq)
SELECT {ROWS} + n, pg_temp.id(n), int8send(n), 'm', 'latency_ms', now() - n * interval '1 minute', 'model', '',
       'chat', 'large', 'dev', 1, 1, 1
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO security_audit_log (event_id, kind, code, recorded_at)
SELECT pg_temp.id(n), 'refusal', 'x', now() - n * interval '2 minutes' FROM generate_series(1, {MANY}) AS n;
"""

ID = uuid.UUID(int=77)
NOW = datetime.now(UTC)
OLD = {"keep_days": 20, "limit": 100}
FAILED = {"error_code": "x", "error": "x", "errors": None}
SIGNALS = "tasks.workflows.store", "signals.sql"
CACHE = "tasks.workflows", "caching.sql"
SCHEDULES = "tasks.workflows.schedules", "schedules.sql"
TRIGGERS = "tasks.workflows.triggers", "triggers.sql"
INTENTS = "tasks.lab", "intents.sql"
REQUESTS = "tasks.lab", "requests.sql"
REPORT = "tasks.lab", "report.sql"
METRICS = "tasks.metrics", "metrics.sql"
MOVED = [{"id": ID, "claimed_tick": NOW, "next_tick": NOW, "due_at": NOW, "last_tick": NOW, "last_run_id": None}]
RECENT = {"endpoints": ["endpoint-1"], "since": NOW - timedelta(hours=20), "until": NOW}
CASES: list[tuple[tuple[str, str], str, dict[str, Any]]] = [
    (SIGNALS, "by_key", {"run_id": ID, "idempotency_scope": "k", "idempotency_key": "key-770"}),
    (SIGNALS, "take", {"run_id": ID, "name": "go", "place": 1}),
    (CACHE, "find", {"key": "key-77"}),
    (CACHE, "delete_expired", {"limit": 100}),
    (SCHEDULES, "lock", {"id": ID, "name": None}),
    (SCHEDULES, "get", {"id": None, "name": "s-77"}),
    (SCHEDULES, "list", {"state": None, "workflow": None, "after": "s-500", "limit": 101}),
    (SCHEDULES, "claim_due", {"limit": 50}),
    (SCHEDULES, "move_on", {"rows": orjson.dumps(MOVED).decode()}),
    (SCHEDULES, "started_by_hand", {"id": ID, "run_id": ID}),
    (SCHEDULES, "recent_ticks", {"id": ID, "limit": 20}),
    (SCHEDULES, "next_due", {}),
    (SCHEDULES, "delete_old_ticks", OLD),
    (TRIGGERS, "lock", {"id": None, "name": "t-77"}),
    (TRIGGERS, "get", {"id": ID, "name": None}),
    (TRIGGERS, "list", {"state": None, "workflow": None, "after": "t-500", "limit": 101}),
    (TRIGGERS, "recent_firings", {"id": ID, "limit": 20}),
    (TRIGGERS, "delete_old_firings", OLD),
    (INTENTS, "renew", {"ids": [ID], "lease_s": 30.0}),
    (INTENTS, "over", {"limit": 100, "lease_s": 30.0}),
    (INTENTS, "forget", {"ids": [ID]}),
    (REQUESTS, "known_request", {"idempotency_key": "key-77"}),
    (REQUESTS, "known_comparison", {"idempotency_key": "key-77"}),
    (REQUESTS, "claim", {"id": ID, "token": ID, "lease_s": 15.0, "max_attempts": 3}),
    (REQUESTS, "renew", {"id": ID, "token": ID, "lease_s": 15.0}),
    (REQUESTS, "succeed", {"id": ID, "token": ID, "answer": "1"}),
    (REQUESTS, "give_back", {"id": ID, "token": ID}),
    (REQUESTS, "fail", {"id": ID, "token": ID, **FAILED}),
    (REQUESTS, "fail_lost", {"max_attempts": 3, "limit": 100, **FAILED}),
    (REQUESTS, "waiting", {"grace_s": 3.0, "limit": 100}),
    (REQUESTS, "get", {"id": ID}),
    (REQUESTS, "get_comparison", {"id": ID}),
    (REQUESTS, "members", {"comparison_id": ID}),
    (REQUESTS, "pending_members", {"comparison_id": ID}),
    (REQUESTS, "lock_comparison", {"id": ID}),
    (REQUESTS, "end_members", {"comparison_id": ID, **FAILED}),
    (REQUESTS, "conclude", {"id": ID}),
    (REQUESTS, "open_comparisons", {"limit": 100}),
    (REQUESTS, "delete_old_requests", OLD),
    (REQUESTS, "delete_old_comparisons", {"keep_days": 20, "limit": 100}),
    (REPORT, "sums", RECENT),
    (REPORT, "histograms", RECENT),
    (METRICS, "mark", {"batch_ids": [ID], "chunks": [0]}),
    (METRICS, "claim", {"lease_s": 15.0, "limit": 50}),
    (METRICS, "dispatch", {"limit": 50}),
    (METRICS, "left_open", {"lease_s": 15.0}),
    (METRICS, "close", {"ids": [ID]}),
    (METRICS, "waiting", {"grace_s": 3.0, "lease_s": 15.0}),
    (METRICS, "get_batch", {"id": ID}),
    (METRICS, "backlog", {}),
    (METRICS, "old_batches", OLD),
    (METRICS, "delete_executions", {"batch_id": ID, "first_id": 77, "last_id": 77}),
    (METRICS, "delete_points", {"batch_id": ID, "first_id": ROWS + 77, "last_id": ROWS + 77}),
    (METRICS, "delete_batch", {"batch_id": ID}),
    (("tasks.access", "access.sql"), "delete_old_records", OLD),
]


@pytest.fixture(scope="module")
def large(postgres_url: str, template_database: str) -> Iterator[Database]:
    """A database with large tables, analyzed."""
    with filled(postgres_url, template_database, FILL) as db:
        yield db


@pytest.mark.parametrize(("file", "name", "params"), CASES, ids=[f"{file[1]}-{name}" for file, name, _ in CASES])
def test_no_frequent_query_reads_a_large_table_through(
    large: Database, file: tuple[str, str], name: str, params: dict[str, Any]
) -> None:
    check_plan(large, LARGE.__contains__, *file, name, params)
