"""Plans: on large tables every query that runs often finds its rows by an index, and reads few of them.

A statement that is prepared may be planned while its tables are empty, and must be no worse when they are large.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from tasks.db.pool import Database
from tasks.db.queries import Queries
from tests.integration.tasks.db.plans import check_plan, filled, nodes_of

ROWS = 60_000
LARGE = {"inbox", "task_states", "journal", "metric_rollups", "runs", "steps", "step_items"}

FILL = f"""
INSERT INTO inbox (id, source, delivery_id, body_digest, family, event_type, action, resource, resource_id,
                   schema_version, environment, body, correlation_id, state, attempt, finished_at, received_at,
                   next_attempt_at, lease_token, lease_until, error)
SELECT gen_random_uuid(), 'svc-' || n % 100,
       CASE WHEN n % 40 < 8 THEN 'd-' || n END, '\\x00', 'hook', 'type-' || n % 20, 'a', 'r', 'i', '1', 'dev',
       '{{}}', 'c', state, 1,
       CASE WHEN state IN ('handled', 'dead') THEN now() - (n % 40) * interval '1 day' END,
       now() - (n % 40) * interval '1 day', now() - interval '1 minute',
       CASE WHEN state = 'processing' THEN gen_random_uuid() END,
       CASE WHEN state = 'processing' THEN now() - interval '1 second' END,
       CASE WHEN state = 'dead' THEN 'no' END
FROM (
    SELECT n, CASE WHEN n % 600 = 0 THEN 'received' WHEN n % 601 = 0 THEN 'processing' WHEN n % 602 = 0 THEN 'dead'
                   ELSE 'handled' END AS state
    FROM generate_series(1, {ROWS}) AS n
) AS rows;
INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload)
SELECT gen_random_uuid(), 'task', 't-' || n % 20000, n / 20000 + 1, 'task-state-changed', '{{}}'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO task_states (task_id, name, state, rank, version, first_seen_at, updated_at, finished_at)
SELECT 't-' || n, 'name-' || n % 50, CASE WHEN n % 500 = 0 THEN 'started' ELSE 'succeeded' END, 1, 1,
       now() - n * interval '1 minute', now() - n * interval '1 minute', CASE WHEN n % 500 <> 0 THEN now() END
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO metric_rollups
SELECT 'minute', date_trunc('minute', now()) - n / 4 * interval '1 minute', 'model-' || n % 4, '', kind, 'large',
       'dev', 5, 5, '{{}}', 0, 0, 5, 500, 50000, histogram_pack(400, 2) + histogram_pack(410, 3), 0, 0, 0, 0, 0, 0, 0,
       5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 5
FROM generate_series(1, {ROWS}) AS n, (VALUES ('testing'), ('')) AS kinds (kind);
INSERT INTO definitions (id, name, version, content_hash, definition, step_count)
VALUES ('{uuid.UUID(int=7)}', 'wf', '1', 'h', '{{}}', 3);
INSERT INTO runs (id, definition_id, name, definition_version, state, priority, tags, input, correlation_id,
                  submitted_by, idempotency_key, concurrency_key, open_leaves, parent_run_id, parent_place,
                  created_at, started_at, finished_at, due_at, deadline_at)
SELECT lpad(to_hex(n), 32, '0')::uuid, '{uuid.UUID(int=7)}', 'wf-' || n % 50, '1',
       CASE WHEN n % 500 = 0 THEN 'running' ELSE 'succeeded' END, 5,
       CASE WHEN n % 100 = 1 THEN ARRAY['rare'] ELSE '{{}}' END, '{{}}', 'c-' || n, 'ada', 'k-' || n,
       'ck-' || n % 1000, 1,
       CASE WHEN n % 50 = 2 THEN lpad(to_hex(n - 1), 32, '0')::uuid END, CASE WHEN n % 50 = 2 THEN 0 END,
       now() - n * interval '1 minute', now(), CASE WHEN n % 500 <> 0 THEN now() - n * interval '1 minute' END,
       CASE WHEN n % 500 = 0 THEN now() - interval '1 second' END, now() + interval '1 hour'
FROM generate_series(1, {ROWS} / 3) AS n;
INSERT INTO steps (run_id, place, key, kind, state, pending, queue, priority, attempt, due_at, child_run_id,
                   finished_at)
SELECT lpad(to_hex(n / 3 + 1), 32, '0')::uuid, n % 3, 'k-' || n % 3, 'task',
       CASE WHEN n % 500 = 0 THEN 'ready' ELSE 'succeeded' END, 0, 'workflows', 5, 1,
       CASE WHEN n % 500 = 0 THEN now() - interval '1 second' END, NULL, CASE WHEN n % 500 <> 0 THEN now() END
FROM generate_series(0, {ROWS} / 3 * 3 - 1) AS n;
INSERT INTO step_items (run_id, place, index, state, attempt, item, due_at, finished_at)
SELECT lpad(to_hex(n / 500 + 1), 32, '0')::uuid, 0, n % 500, CASE WHEN n % 600 = 0 THEN 'ready' ELSE 'succeeded' END,
       1, '1', CASE WHEN n % 600 = 0 THEN now() - interval '1 second' END, CASE WHEN n % 600 <> 0 THEN now() END
FROM generate_series(0, {ROWS} - 1) AS n;
UPDATE sink_cursors SET position = {ROWS} - 100 WHERE reads = 'journal';
"""

PREPARED = re.compile(r"\bQUERIES\.prepared\(\"(\w+)\"\)")
FILE_OF_QUERIES = re.compile(r"^QUERIES = Queries\(\"([\w.]+)\", \"([\w.]+)\"\)", re.MULTILINE)
# So few rows that reading all of them costs nothing.
SMALL = {"sink_cursors", "trigger_changes"}

ID = uuid.UUID(int=7)
LIST = {"source": None, "event_type": None, "state": None, "since": None, "since_id": None, "until": None,
        "until_id": None, "before_id": None, "limit": 100}  # fmt: skip
TASKS = {"state": None, "name": None, "before_at": None, "before_id": None, "limit": 100}
NOW = datetime.now(UTC)
FEW_MINUTES = {"grains": ["hour", "minute"], "starts": [NOW - timedelta(days=9), NOW - timedelta(minutes=90)],
               "ends": [NOW - timedelta(days=8), NOW]}  # fmt: skip
MODELS = {**FEW_MINUTES, "by": ["model"], "width_s": None, "origin": NOW, "changes": [], "first_tokens": True,
          "models": None, "together": True, "provider": None, "task_type": None, "model_tier": None,
          "environment": None}  # fmt: skip
TEXTS = ("source", "family", "event_type", "action", "resource", "resource_id", "schema_version", "environment")
ROW = orjson.dumps(
    [
        {"id": ID, "event_id": ID, "payload": {}, "body": {}, "body_digest": "00", "correlation_id": "c"}
        | {"delivery_id": "d-1"}
        | dict.fromkeys(TEXTS, "svc-1")
    ]
).decode()
CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("tasks.hooks", "hooks.sql", "accept", {"rows": ROW, "wait": "250ms"}),
    ("tasks.hooks", "hooks.sql", "known_deliveries", {"sources": ["svc-1"], "delivery_ids": ["d-1"], "window_s": 60}),
    ("tasks.hooks", "hooks.sql", "due", {"limit": 50}),
    ("tasks.hooks", "hooks.sql", "claim", {"ids": [ID], "token": ID, "lease_s": 15.0}),
    ("tasks.hooks", "hooks.sql", "pass_unheard", {"rows": ROW}),
    ("tasks.hooks", "hooks.sql", "claim_expired", {"token": ID, "lease_s": 15.0, "max_attempts": 5}),
    ("tasks.hooks", "hooks.sql", "complete", {"rows": ROW, "token": ID}),
    ("tasks.hooks", "hooks.sql", "bury_expired", {"max_attempts": 5, "limit": 100, "error_code": "x", "error": "x"}),
    ("tasks.hooks", "hooks.sql", "renew", {"ids": [ID], "token": ID, "lease_s": 15.0}),
    ("tasks.hooks", "hooks.sql", "retry", {"id": ID, "token": ID, "error_code": "x", "error": "x", "delay_s": 1.0}),
    ("tasks.hooks", "hooks.sql", "bury", {"id": ID, "token": ID, "error_code": "x", "error": "x"}),
    ("tasks.hooks", "hooks.sql", "release_delivery_ids", {"ids": [ID]}),
    ("tasks.hooks", "hooks.sql", "waiting", {"grace_s": 3.0}),
    ("tasks.hooks", "hooks.sql", "get", {"id": ID}),
    ("tasks.hooks", "hooks.sql", "list", LIST),
    ("tasks.hooks", "hooks.sql", "list", {**LIST, "source": "svc-1"}),
    ("tasks.hooks", "hooks.sql", "list", {**LIST, "event_type": "type-1"}),
    ("tasks.hooks", "hooks.sql", "list", {**LIST, "state": "dead"}),
    ("tasks.hooks", "hooks.sql", "unfinished", {}),
    ("tasks.hooks", "hooks.sql", "count_dead", {}),
    ("tasks.hooks", "hooks.sql", "delete_old", {"keep_days": 30, "limit": 100}),
    ("tasks.hooks", "hooks.sql", "release_old_delivery_ids", {"window_s": 604_800, "limit": 100}),
    ("tasks.hooks", "admission.sql", "waiting", {}),
    ("tasks.journal", "journal.sql", "of_aggregate", {"aggregate_type": "task", "aggregate_id": "t-7", "limit": 100}),
    ("tasks.states", "states.sql", "get", {"task_id": "t-7"}),
    ("tasks.states", "states.sql", "list", TASKS),
    ("tasks.states", "states.sql", "list", {**TASKS, "name": "name-7"}),
    ("tasks.states", "states.sql", "mark_lost", {"lost_after_s": 900.0, "limit": 500, "rank": 9, "error": "x"}),
    ("tasks.states", "states.sql", "known_events", {"task_ids": ["t-7", "t-8"]}),
    ("tasks.states", "states.sql", "delete_old", {"keep_days": 30, "limit": 100}),
    ("bridges.relay", "cursors.sql", "nth_after", {"after": ROWS - 100, "nth": 50}),
    ("tasks.metrics.questions", "questions.sql", "totals", MODELS),
    ("tasks.metrics.questions", "questions.sql", "totals", {**MODELS, "models": ["model-1", "model-2"]}),
    ("tasks.metrics.questions", "questions.sql", "totals", {**MODELS, "by": ["task_type"], "together": False}),
    ("tasks.metrics.questions", "questions.sql", "without_cost", MODELS),
    ("tasks.metrics.regressions", "regressions.sql", "blocks", {**FEW_MINUTES, "kinds": ["hour", "recent"],
                                                                "model": "model-1"}),
    ("webapp", "backlog.sql", "open_tasks", {}),
    ("bridges.relay", "reader.sql", "declare_rows", {"after": ROWS - 100, "limit": 2000}),
    ("bridges.relay", "cursors.sql", "status", {"sink": "kafka", "count_limit": 100_000}),
]  # fmt: skip

RUN_ID = uuid.UUID(int=400)
STEP = {"run_id": RUN_ID, "place": 0}
PLACES = {"run_id": RUN_ID, "places": [0, 1], "token": ID, "lease_s": 10.0, "grace_s": 5.0}
SOME = {"run_ids": [RUN_ID, ID], "places": [0, 1], "indexes": [3, 4], "delay_s": 1.0}
RUNS = {"active": False, "limit": 101} | dict.fromkeys(
    [
        "name",
        "names",
        "states",
        "tag",
        "correlation_id",
        "parent_id",
        "since",
        "since_id",
        "until",
        "until_id",
        "before_id",
    ]
)
CHANGED = "waits_for signal_name items_open child_run_id delay_s output arguments error_code error"
CHANGE = {**STEP, "token": None, "from": ["running"], "overdue": False, "uncounted": "never", "terminal": False}
CHANGE |= {"state": "ready", "reason": "x", **dict.fromkeys(CHANGED.split())}
COUNTERS = dict.fromkeys(["pending", "passed", "blocked", "named", "chosen"], 0)
SETTLED = {**PLACES, "rows": orjson.dumps([{"place": 1, "state": "ready", **COUNTERS}]).decode()}
ENDED = orjson.dumps([{"index": 3, "state": "failed", "error": "x"}]).decode()
VALUES = {"id": RUN_ID, "cut": 2000, "place": 0, "after": -1, "state": None, "limit": 101}
RUN_CHANGE = {
    "id": RUN_ID,
    "from": ["running"],
    "state": "failed",
    "terminal": True,
    "event": "x",
    "grace_s": 5.0,
    "keep_error": False,
}
RUN_CHANGE |= dict.fromkeys(["leaves", "output", "error_code", "error", "open_leaves", "timeout_s", "by", "reason"])
KEYED = {"name": "wf-1", "concurrency_key": "ck-1"}
COMPLETED = {
    "rows": orjson.dumps([{"place": 0, "output": 1}]).decode(),
    "below": orjson.dumps([{"place": 1, "ended": 1, "named": 0, "chosen": 0}]).decode(),
    "count": 1,
    "candidates": [1],
    "next_token": ID,
    "leaves": 0,
}
SUBMITTED = {
    "id": uuid.UUID(int=10**9),
    "definition_id": ID,
    "name": "wf",
    "priority": 5,
    "tags": [],
    "metadata": "{}",
    "input": "{}",
    "correlation_id": "c",
    "submitted_by": "ada",
    "idempotency_scope": "",
    "open_leaves": 1,
    "depth": 0,
    "timeout_s": 60.0,
    "grace_s": 5.0,
    "step_grace_s": 5.0,
    "begun": True,
    "rows": orjson.dumps(
        [{"place": 0, "key": "a", "kind": "task", "pending": 0, "queue": "q", "priority": 5}]
    ).decode(),
}
SUBMITTED |= dict.fromkeys(
    ["definition_version", "idempotency_key", "body_digest", "concurrency_key", "max_parallel", "parent_run_id"]
)
SUBMITTED["parent_place"] = None
CONCLUDED = {**STEP, "step_output": "1", "arguments": None, "token": ID, "output": "{}"}
STORE = "tasks.workflows.store"
CASES += [
    *((STORE, "steps.sql", name, {**PLACES, "bundled": True, "reason": "x", "error_code": None}) for name in (
        "claim", "claim_limited", "renew", "release", "lock_open", "cancel_open", "states", "results",
        "release_ready", "hold_ready", "to_undo", "last_place", "compensations")),
    (STORE, "steps.sql", "complete", {**PLACES, **COMPLETED}),
    (STORE, "steps.sql", "advance", {**STEP, "output": "1", "arguments": None, "token": ID, "child": 1,
                                     "next_token": ID, "due_s": 10.0}),
    (STORE, "steps.sql", "ready", {"run_id": RUN_ID, "limit": 100}),
    (STORE, "steps.sql", "change", CHANGE),
    (STORE, "counters.sql", "lock_pending", PLACES),
    (STORE, "counters.sql", "settle", SETTLED),
    (STORE, "steps.sql", "wake", {**STEP, "waits_for": "time", "token": ID, "lease_s": 10.0}),
    (STORE, "steps.sql", "waiting_by_key", {"run_id": RUN_ID, "key": "k-1"}),
    (STORE, "steps.sql", "waiting_child", STEP),
    (STORE, "steps.sql", "due", {"limit": 500}),
    (STORE, "steps.sql", "next_due", {}),
    (STORE, "steps.sql", "postpone", SOME),
    (STORE, "aside.sql", "steps", SOME),
    (STORE, "aside.sql", "runs", SOME),
    (STORE, "aside.sql", "items", SOME),
    (STORE, "items.sql", "claim", {**STEP, "firsts": [0], "ends": [50], "token": ID, "lease_s": 10.0, "limit": 8}),
    (STORE, "items.sql", "any", STEP),
    (STORE, "items.sql", "drop", {**STEP, "items": "[1, 2]"}),
    (STORE, "items.sql", "renew", {**STEP, "indexes": [3], "token": ID, "lease_s": 10.0}),
    (STORE, "items.sql", "end", {**STEP, "indexes": [3], "rows": ENDED, "token": ID}),
    *((STORE, "items.sql", name, {**STEP, "limit": 100, "index": 3}) for name in (
        "open", "counts", "outputs", "error_of", "map_of", "token")),
    (STORE, "items.sql", "due", {"limit": 500}),
    (STORE, "items.sql", "release", SOME),
    (STORE, "items.sql", "forget", {"run_ids": [RUN_ID], "places": [0]}),
    *((STORE, "runs.sql", name, {"id": RUN_ID, "limit": 100, **KEYED}) for name in (
        "under_way", "next_of_key", "context", "look", "lock", "due", "orphans", "children", "detach")),
    (STORE, "run_with_steps.sql", "submit", SUBMITTED),
    (STORE, "run_with_steps.sql", "under_way", {"id": RUN_ID, "limit": 100}),
    (STORE, "run_with_steps.sql", "conclude", CONCLUDED),
    (STORE, "runs.sql", "by_idempotency_key", {"idempotency_scope": "", "idempotency_key": "k-77"}),
    (STORE, "runs.sql", "change", RUN_CHANGE),
    (STORE, "runs.sql", "postpone", {"ids": [RUN_ID], "delay_s": 1.0}),
    (STORE, "runs.sql", "delete_old", {"keep_days": 12, "limit": 100}),
    *(("tasks.workflows", "reading.sql", name, {**VALUES, "key": "k-1"}) for name in (
        "run", "head", "counts", "waiting", "steps", "step", "place_of", "items", "failed_items", "list_items",
        "chart")),
    ("tasks.workflows", "reading.sql", "run_names", {"search": "wf-4"}),
    *(("tasks.workflows", "reading.sql", "runs", {**RUNS, **more}) for more in (
        {}, {"name": "wf-7"}, {"states": ["running"]}, {"active": True}, {"tag": "rare"},
        {"correlation_id": "c-7777"}, {"parent_id": uuid.UUID(int=4051)}, {"before_id": uuid.UUID(int=9000)})),
    ("tasks.workflows", "reading.sql", "open_runs", {}),
    ("tasks.workflows", "reading.sql", "open_steps", {}),
    ("tasks.workflows", "definitions.sql", "newest_for", {"run_id": RUN_ID, "name": "wf"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def large(postgres_url: str, template_database: str) -> Iterator[Database]:
    """A database with large tables, analyzed."""
    with filled(postgres_url, template_database, FILL) as db:
        yield db


@pytest.mark.parametrize(("package", "file", "name", "params"), CASES, ids=lambda value: str(value)[:40])
def test_no_frequent_query_reads_a_large_table_through(
    large: Database, package: str, file: str, name: str, params: dict[str, Any]
) -> None:
    check_plan(large, _is_large, package, file, name, params)


def _is_large(relation: str) -> bool:
    return relation in LARGE or relation.startswith("journal_2")


def _prepared() -> list[tuple[str, str, str]]:
    found = []
    for path in sorted(path for package in ("tasks", "bridges", "webapp") for path in Path(package).rglob("*.py")):
        text = path.read_text()
        place = FILE_OF_QUERIES.search(text)
        found += [(place[1], place[2], name) for name in PREPARED.findall(text)] if place else []
    return found


@pytest.mark.parametrize(("package", "file", "name"), _prepared(), ids=lambda value: str(value))
def test_no_prepared_statement_keeps_a_plan_that_was_good_for_an_empty_table(
    db: Database, package: str, file: str, name: str
) -> None:
    statement = Queries(package, file).prepared(name)
    parameters = dict.fromkeys(re.findall(r"%\((\w+)\)s", statement.execute))
    with db.transaction() as tx:
        tx.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        tx.execute(statement.prepare)
        [row] = tx.all("EXPLAIN (FORMAT JSON) " + statement.execute, parameters)
        tx.execute(f"DEALLOCATE {statement.name}")
    nodes = list(nodes_of(row["QUERY PLAN"][0]["Plan"]))
    read_through = [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"]
    assert set(read_through) <= SMALL
