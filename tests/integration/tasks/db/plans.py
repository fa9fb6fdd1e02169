"""Large tables, and whether the plan of a query finds what it needs in them without reading them through."""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from tasks.db.pool import Database
from tasks.db.queries import Queries
from tasks.settings import load_settings

# What a plan may read of a large table beyond what it answers with: an index is not always exactly the condition.
SPARE_ROWS = 1_500


@contextmanager
def filled(postgres_url: str, template_database: str, sql: str) -> Iterator[Database]:
    """A database of our schema after this SQL, analyzed."""
    name = f"plans_{uuid.uuid4().hex[:8]}"
    server = psycopg2.connect(postgres_url)
    server.autocommit = True
    with server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template_database}")
    url = postgres_url.rsplit("/", 1)[0] + "/" + name
    settings = load_settings({"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0"})
    filler = psycopg2.connect(url)
    filler.autocommit = True
    with filler.cursor() as cursor:
        cursor.execute(sql)
        cursor.execute("VACUUM ANALYZE")
    filler.close()
    db = Database(dataclasses.replace(settings, db_statement_timeout_ms=60_000), "plans")
    yield db
    db.close()
    with server.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    server.close()


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes, the outermost first."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes_of(inner)


def check_plan(
    db: Database, is_large: Callable[[str], bool], package: str, file: str, name: str, params: dict[str, Any]
) -> None:
    """The query runs, and reads no large table through; of those that it reads it reads few rows."""
    sql = re.sub(r"^--.*$", "", Queries(package, file)[name], flags=re.MULTILINE).strip()
    sql = re.sub(r"^DECLARE .*? FOR\b", "", sql, flags=re.DOTALL)
    with db.transaction() as tx:
        tx.execute("SAVEPOINT before")
        [row] = tx.all("EXPLAIN (ANALYZE, FORMAT JSON) " + sql, params)
        tx.execute("ROLLBACK TO SAVEPOINT before")
    plan = row["QUERY PLAN"][0]["Plan"]
    scans = [node for node in nodes_of(plan) if is_large(node.get("Relation Name", ""))]
    assert scans
    read = 0
    for node in scans:
        if node["Node Type"] != "ModifyTable":
            dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            rows = int((node["Actual Rows"] + dropped) * node["Actual Loops"])
            # The partitions of the days to come are empty, and need no index.
            assert node["Node Type"] != "Seq Scan" or rows == 0, node
            read += rows
    assert read <= SPARE_ROWS, plan
