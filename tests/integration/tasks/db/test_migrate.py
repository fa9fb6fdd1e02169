"""Migrations: from nothing to the schema that the code expects, once, whoever runs them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest

import tasks
from tasks.db import migrate
from tasks.db.describe import describe
from tasks.db.pool import Database
from tasks.db.queries import Queries
from tasks.errors import Conflict
from tasks.settings import load_settings

ROOT = Path(tasks.__file__).parent.parent
PACKAGES = [ROOT / name for name in ("tasks", "bridges", "webapp")]
SQL_FILES = sorted(
    path for package in PACKAGES for path in package.rglob("*.sql") if path.parent.name != "migrations"
)
# PostgreSQL explains statements that have a plan; a cursor's query is explained where it stands.
DECLARES = re.compile(r"^DECLARE .*? FOR\b", re.DOTALL)
HAS_PLAN = re.compile(r"^(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


def _blocks() -> list[tuple[str, str]]:
    found = []
    for path in SQL_FILES:
        package = ".".join(path.parent.relative_to(ROOT).parts)
        queries = Queries(package, path.name)
        for name in queries.names():
            sql = re.sub(r"^--.*$", "", queries[name], flags=re.MULTILINE).strip()
            sql = DECLARES.sub("", sql).strip()
            if HAS_PLAN.match(sql):
                found.append((f"{package}:{name}", sql))
    return found


def test_the_migrated_database_is_the_schema_that_is_written_down(db: Database) -> None:
    expected = (ROOT / "tasks" / "db" / "schema.txt").read_text()
    with db.transaction() as tx:
        assert describe(tx) == expected


@pytest.fixture(scope="module")
def explaining(module_database_url: str) -> Iterator[Database]:
    db = Database(load_settings({"DATABASE_URL": module_database_url, "REDIS_URL": "redis://127.0.0.1:1/0"}), "test")
    yield db
    db.close()


@pytest.mark.parametrize(("name", "sql"), _blocks())
def test_every_query_of_the_code_fits_the_schema(explaining: Database, name: str, sql: str) -> None:
    with explaining.transaction() as tx:
        tx.execute("EXPLAIN " + re.sub(r"%\((\w+)\)s", "NULL", sql).replace("%%", "%"))


def test_a_second_run_does_nothing(database_url: str) -> None:
    assert migrate.migrate(database_url) == []
    assert all(item.applied_at is not None for item in migrate.status(database_url))


def test_many_at_once_apply_each_file_once(empty_database_url: str) -> None:
    assert all(item.applied_at is None for item in migrate.status(empty_database_url))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(migrate.migrate, [empty_database_url] * 4))
    assert sorted(name for result in results for name in result) == [item.name for item in migrate.available()]


def test_a_file_that_was_changed_after_it_ran_is_refused(database_url: str) -> None:
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE schema_migrations SET digest = 'other'")
    connection.close()
    with pytest.raises(Conflict, match="was changed after it was applied"):
        migrate.migrate(database_url)
