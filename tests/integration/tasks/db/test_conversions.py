"""Migrations that convert rows: what was there before answers as it did."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg2
import psycopg2.extensions
import psycopg2.extras

from tasks.db import migrate
from tasks.ids import new_id
from tasks.metrics.histogram import Histogram

SEED = 46
DIMENSIONS = ("grain", "bucket", "model", "provider", "task_type", "model_tier", "environment")
HISTOGRAMS = ("latency_ms", "first_token_latency_ms")
Row = dict[str, Any]


@contextmanager
def connected(url: str) -> Iterator[psycopg2.extensions.cursor]:
    """A cursor whose statements are committed at the end."""
    connection = psycopg2.connect(url, options="-c timezone=UTC")
    try:
        with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            yield cursor
    finally:
        connection.close()


def migrate_before(url: str, version: str) -> None:
    """Brings an empty database to the schema that it had before this migration."""
    with connected(url) as cursor:
        cursor.execute(
            "CREATE TABLE schema_migrations (version text PRIMARY KEY, digest text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        for migration in migrate.available():
            if migration.version < version:
                cursor.execute(migration.sql)
                cursor.execute(
                    "INSERT INTO schema_migrations (version, digest) VALUES (%s, %s)",
                    (migration.version, migration.digest),
                )


def old_rollups(sums: list[str]) -> list[Row]:
    """Rows as they were before 0046: each sum another number, so that none can take the place of another."""
    source = random.Random(SEED)
    rows = []
    for grain, day in (("minute", 1), ("minute", 2), ("day", 1)):
        for model in ("llama", "qwen"):
            for task_type in ("code_review", "testing", "debugging"):
                for environment in ("dev", "prod"):
                    values = [round(source.lognormvariate(6, 2), 3) for _ in range(source.randrange(1, 40))]
                    latencies = [*values, 0.0, 0.001, 1e9][: len(values) + source.randrange(4)]
                    rows.append(
                        {name: source.randrange(10**9) for name in sums}
                        | {"grain": grain, "bucket": f"2026-01-0{day}T00:00:00+00:00", "model": model}
                        | {"provider": "", "task_type": task_type, "model_tier": "large", "environment": environment}
                        | {"latency_ms": latencies, "tokens_per_second": values}
                        # Some told no time of a first token, and some models never did.
                        | {"first_token_latency_ms": values[::2] if model == "qwen" and day == 1 else []}
                        | {"error_types": {name: source.randrange(1, 9) for name in source.sample("abc", day)}}
                    )
    return rows


def insert(cursor: psycopg2.extensions.cursor, rows: list[Row]) -> None:
    for row in rows:
        values: list[Any] = []
        for value in row.values():
            if isinstance(value, list):
                value = Histogram.of(value).arrays() if value else None
            values.append(orjson.dumps(value).decode() if isinstance(value, dict) else value)
        places = ["%s::histogram" if isinstance(value, list) else "%s" for value in row.values()]
        cursor.execute(f"INSERT INTO model_rollups ({', '.join(row)}) VALUES ({', '.join(places)})", values)


def expected(rows: list[Row], sums: list[str]) -> dict[tuple[str, ...], Row]:
    """What the rows answer, for each task type and, as '', for all of them together."""
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        for task_type in (row["task_type"], ""):
            groups[tuple(({**row, "task_type": task_type})[name] for name in DIMENSIONS)].append(row)
    found = {}
    for key, group in groups.items():
        errors: Counter[str] = Counter()
        for row in group:
            errors.update(row["error_types"])
        found[key] = {name: sum(row[name] for row in group) for name in sums} | {"error_types": dict(errors)}
        for name in HISTOGRAMS:
            found[key][name] = Histogram.of(value for row in group for value in row[name])
    return found


def test_rollups_of_before_they_were_packed_answer_as_they_did(empty_database_url: str) -> None:
    migrate_before(empty_database_url, "0046")
    with connected(empty_database_url) as cursor:
        cursor.execute(
            "SELECT column_name AS name FROM information_schema.columns WHERE table_name = 'model_rollups'"
        )
        sums = [row["name"] for row in cursor.fetchall()]
        for name in (*DIMENSIONS, *HISTOGRAMS, "tokens_per_second", "error_types"):
            sums.remove(name)
        rows = old_rollups(sums)
        insert(cursor, rows)
    migrate.migrate(empty_database_url)
    packed = [f"{name}::text AS {name}" for name in HISTOGRAMS]
    with connected(empty_database_url) as cursor:
        cursor.execute(f"SELECT {', '.join((*DIMENSIONS, *sums, 'error_types', *packed))} FROM metric_rollups")
        told = cursor.fetchall()
        cursor.execute("SELECT count(*) AS count FROM model_rollups")
        assert cursor.fetchone() == {"count": len(rows)}
    found = {}
    for row in told:
        key = tuple(str(row.pop(name)).replace("+00:00 ", "T").replace(" ", "T") for name in DIMENSIONS)
        found[key] = dict(row) | {name: Histogram.from_packed(row[name]) for name in HISTOGRAMS}
    assert len(found) == len(told)
    assert found == expected(rows, sums)


def test_signals_of_before_their_keys_were_scoped_are_their_senders_still(empty_database_url: str) -> None:
    migrate_before(empty_database_url, "0050")
    run_id, definition_id = str(new_id()), str(new_id())
    keys = {name: str(new_id()) for name in ("shop", "twin-1", "twin-2")}
    with connected(empty_database_url) as cursor:
        cursor.execute(
            "INSERT INTO definitions (id, name, version, content_hash, definition, step_count)"
            " VALUES (%s, 'wf', '1', 'h', '{}', 1)",
            [definition_id],
        )
        cursor.execute(
            "INSERT INTO runs (id, definition_id, name, definition_version, state, priority, input, correlation_id,"
            " submitted_by, open_leaves, deadline_at)"
            " VALUES (%s, %s, 'wf', '1', 'running', 5, '{}', 'c', 'ada', 1, now())",
            [run_id, definition_id],
        )
        for name, key in keys.items():
            cursor.execute(
                "INSERT INTO api_keys (id, name, prefix, key_hash, scopes) VALUES (%s, %s, 'omni_', %s, '{admin}')",
                [key, name.split("-")[0], name.encode()],
            )
        for sender, key in (("shop", "k"), ("twin", "k"), ("jwt:ada", "k"), ("shop", None)):
            cursor.execute(
                "INSERT INTO signals (id, run_id, name, payload, sent_by, idempotency_key)"
                " VALUES (%s, %s, 'paid', '{}', %s, %s)",
                [str(new_id()), run_id, sender, key],
            )
    migrate.migrate(empty_database_url)
    with connected(empty_database_url) as cursor:
        cursor.execute("SELECT sent_by, idempotency_scope FROM signals WHERE idempotency_key = 'k'")
        scopes = {row["sent_by"]: row["idempotency_scope"] for row in cursor.fetchall()}
    assert scopes == {"shop": keys["shop"], "twin": "twin", "jwt:ada": "jwt:ada"}
