"""The pool: transactions, savepoints, sessions, and errors in our own words."""

from __future__ import annotations

import dataclasses
import os
import threading
from types import SimpleNamespace
from uuid import UUID

import psycopg2
import pytest

from tasks.db import connection
from tasks.db.pool import Database
from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.settings import Settings
from tasks.workflows.store.runs import QUERIES


@pytest.fixture(autouse=True)
def _table(db: Database) -> None:
    with db.transaction() as tx:
        tx.execute("CREATE TABLE things (n integer PRIMARY KEY)")


def _things(db: Database) -> list[int]:
    with db.transaction() as tx:
        return [row["n"] for row in tx.all("SELECT n FROM things ORDER BY n")]


def test_a_block_that_ends_is_committed_and_one_that_raises_is_not(db: Database) -> None:
    with db.transaction() as tx:
        assert tx.execute("INSERT INTO things VALUES (1)") == 1

    def fail() -> None:
        with db.transaction() as tx:
            tx.execute("INSERT INTO things VALUES (2)")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it has no text
        fail()
    assert _things(db) == [1]


def test_a_savepoint_undoes_its_block_alone(db: Database) -> None:
    with db.transaction() as tx:
        tx.execute("INSERT INTO things VALUES (1)")
        with pytest.raises(psycopg2.errors.UniqueViolation), tx.savepoint():  # noqa: PT012 - the second undoes the first
            tx.execute("INSERT INTO things VALUES (2)")
            tx.execute("INSERT INTO things VALUES (1)")
        tx.execute("INSERT INTO things VALUES (3)")
    assert _things(db) == [1, 3]


def test_rows_come_one_by_one(db: Database) -> None:
    with db.transaction() as tx:
        tx.execute("INSERT INTO things SELECT generate_series(1, 5)")
        rows = tx.each("SELECT n FROM things WHERE n > %(least)s ORDER BY n", {"least": 2})
        assert next(rows) == {"n": 3}
        assert list(rows) == [{"n": 4}, {"n": 5}]
        assert list(tx.each("SELECT n FROM things WHERE n > 5")) == []


def test_a_session_ends_with_its_advisory_locks(db: Database) -> None:
    take = "SELECT pg_try_advisory_lock(1, 2) AS got"
    with db.session() as one, db.session() as two:
        assert one.one(take) == {"got": True}
        assert two.one(take) == {"got": False}
        with one.transaction() as tx:
            tx.execute("INSERT INTO things VALUES (7)")
    with db.session() as three:
        assert three.one(take) == {"got": True}
    assert _things(db) == [7]


def test_a_lock_that_is_not_had_in_time_is_busy(settings: Settings) -> None:
    quick = Database(dataclasses.replace(settings, db_lock_timeout_ms=50))
    with quick.transaction() as tx:
        tx.execute("INSERT INTO things VALUES (1)")

    def wait() -> None:
        with quick.transaction() as tx:
            tx.execute("UPDATE things SET n = 3")

    with quick.transaction() as holder:
        holder.execute("UPDATE things SET n = 2")
        with pytest.raises(DatabaseBusy):
            wait()
    quick.close()


def test_a_killed_connection_is_unavailable_and_the_next_one_works(db: Database) -> None:
    def die() -> None:
        with db.transaction() as tx:
            row = tx.one("SELECT pg_backend_pid() AS pid")
            assert row is not None
            with db.transaction() as other:
                other.execute("SELECT pg_terminate_backend(%(pid)s, 5000)", row)
            tx.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        die()
    assert _things(db) == []


def test_idle_connections_that_died_are_renewed_and_nobody_notices(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_LOOK_AFTER_S", 0.0)
    barrier = threading.Barrier(4)

    def hold() -> None:
        with db.transaction() as tx:
            tx.execute("SELECT 1")
            barrier.wait(10)

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _terminate_others(settings)
    for _ in range(4):
        assert _things(db) == []


def test_connections_that_died_a_moment_after_their_use_are_noticed_by_one_caller_at_most(
    db: Database, settings: Settings
) -> None:
    with db.transaction() as tx, db.transaction() as other:
        tx.execute("SELECT 1")
        other.execute("SELECT 1")
    _terminate_others(settings)
    failures = 0
    for _ in range(3):
        try:
            _things(db)
        except DatabaseUnavailable:
            failures += 1
    assert failures <= 1


def test_an_idle_connection_that_the_server_told_something_is_kept(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_LOOK_AFTER_S", 0.0)
    with db.transaction() as tx:
        tx.execute("LISTEN news")
        mine = tx.one("SELECT pg_backend_pid() AS pid")
    admin = psycopg2.connect(settings.database_url)
    with admin, admin.cursor() as cursor:
        cursor.execute("NOTIFY news")
    admin.close()
    with db.transaction() as tx:
        assert tx.one("SELECT pg_backend_pid() AS pid") == mine


def _terminate_others(settings: Settings) -> None:
    admin = psycopg2.connect(settings.database_url)
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    admin.close()


def test_nobody_listening_is_unavailable_at_once(settings: Settings) -> None:
    url = "postgresql://u:p@127.0.0.1:1/none"
    with pytest.raises(DatabaseUnavailable), Database(dataclasses.replace(settings, database_url=url)).transaction():
        pass


def test_a_forked_child_has_connections_of_its_own(db: Database) -> None:
    def backend() -> int:
        with db.transaction() as tx:
            row = tx.one("SELECT pg_backend_pid() AS pid")
            assert row is not None
            return int(row["pid"])

    mine = backend()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, str(backend()).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert int(os.read(read, 100)) != mine
    assert backend() == mine


def test_what_is_left_for_after_the_commit_is_done_once_it_stands(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[list[int]] = []

    def tell(items: list[int]) -> None:
        with db.transaction() as other:
            told.append([*items, len(other.all("SELECT FROM pg_tables WHERE tablename = 'kept'"))])

    def fail(_items: list[int]) -> None:
        raise RuntimeError("no matter")

    with db.transaction() as tx:
        tx.execute("CREATE TABLE kept ()")
        tx.after_commit(tell, 1)
        tx.after_commit(fail, 1)
        with pytest.raises(ZeroDivisionError), tx.savepoint():  # noqa: PT012 - the second undoes the first
            tx.after_commit(tell, 2)
            raise ZeroDivisionError
        with tx.savepoint():
            tx.after_commit(tell, 3)
        assert told == []
    # Together, after the commit, without what was undone; and one that fails takes nothing back.
    assert told == [[1, 3, 1]]
    assert "after-commit-failed" in caplog.text

    with pytest.raises(ZeroDivisionError), db.transaction() as tx:  # noqa: PT012 - the second undoes the first
        tx.after_commit(tell, 4)
        raise ZeroDivisionError
    assert len(told) == 1


def test_a_prepared_statement_is_planned_anew_when_its_plan_is_old(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = QUERIES.prepared("context")
    now = [1000.0]
    monkeypatch.setattr("tasks.db.plans.time", SimpleNamespace(monotonic=lambda: now[0]))
    prepared_at = "SELECT prepare_time FROM pg_prepared_statements WHERE name = %(name)s"
    times = []
    for later_s in (0.0, 0.2, 0.1, 0.4, 0.2):
        now[0] += later_s
        with db.autocommit() as tx:
            assert tx.all(statement, {"id": UUID(int=1)}) == []
            times.append(tx.one(prepared_at, {"name": statement.name}))
    assert times[0] == times[1] != times[2] == times[3] != times[4]


def test_a_statement_that_could_not_be_prepared_is_prepared_the_next_time(db: Database) -> None:
    statement = QUERIES.prepared("context")
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction), db.transaction() as tx:  # noqa: PT012 - fails twice
        with pytest.raises(psycopg2.errors.SyntaxError):
            tx.execute("SELEC")
        tx.all(statement, {"id": UUID(int=1)})
    with db.transaction() as tx:
        assert tx.all(statement, {"id": UUID(int=1)}) == []


def test_the_locks_of_a_session_are_free_when_it_has_ended(db: Database) -> None:
    lock = "SELECT pg_try_advisory_lock(7301, 99) AS held"
    with db.autocommit() as other:
        for _ in range(15):
            with db.session() as session:
                assert session.one(lock) == {"held": True}
            assert other.one(lock) == {"held": True}
            other.execute("SELECT pg_advisory_unlock_all()")
