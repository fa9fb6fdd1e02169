"""Commit-safe order, shown with real transactions that interleave: nothing is skipped, no key is turned round."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from bridges.relay.reader import JournalReader, JournalRow
from tasks.db.pool import Database, Session
from tests.integration.bridges.relay.support import Journal
from tests.integration.conftest import wait_until


@pytest.fixture
def session(db: Database) -> Iterator[Session]:
    with db.session() as session:
        yield session


@pytest.fixture
def reader(session: Session) -> JournalReader:
    return JournalReader(session)


@pytest.fixture
def connect(settings) -> Iterator[Callable[[], psycopg2.extensions.connection]]:
    """Plain connections whose transactions the test begins and ends as it likes."""
    opened: list[psycopg2.extensions.connection] = []

    def one() -> psycopg2.extensions.connection:
        opened.append(psycopg2.connect(settings.database_url))
        return opened[-1]

    yield one
    for each in opened:
        each.close()


def insert(connection: psycopg2.extensions.connection, key: str, version: int = 1) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload)"
            " VALUES (gen_random_uuid(), 'thing', %s, %s, 'hook-received', '{}') RETURNING id",
            (key, version),
        )
        row = cursor.fetchone()
        assert row is not None
        return int(row[0])


def ids(rows: list[JournalRow]) -> list[int]:
    return [row.id for row in rows]


def test_a_row_that_took_its_id_first_and_commits_last_is_not_skipped(reader, connect):
    slow, quick = connect(), connect()
    first = insert(slow, "a")
    second = insert(quick, "b")
    quick.commit()
    page = reader.read(0)
    assert (page.rows, page.blocked) == ([], True)
    slow.commit()
    assert ids(reader.read(0).rows) == [first, second]


def test_a_row_before_the_gap_goes_out_at_once(reader, connect):
    done, slow, quick = connect(), connect(), connect()
    before = insert(done, "a")
    done.commit()
    insert(slow, "b")
    insert(quick, "c")
    quick.commit()
    assert ids(reader.read(0).rows) == [before]
    assert reader.read(before).blocked


def test_a_rolled_back_id_is_passed_at_once(reader, connect):
    gone, kept = connect(), connect()
    insert(gone, "a")
    gone.rollback()
    stays = insert(kept, "b")
    kept.commit()
    assert ids(reader.read(0).rows) == [stays]


def test_an_id_whose_owner_rolls_back_later_is_passed_then(reader, connect):
    gone, kept = connect(), connect()
    insert(gone, "a")
    stays = insert(kept, "b")
    kept.commit()
    assert reader.read(0).blocked
    gone.rollback()
    assert ids(reader.read(0).rows) == [stays]


def test_an_id_lost_in_a_savepoint_waits_for_the_whole_transaction(reader, connect):
    slow, quick = connect(), connect()
    with slow.cursor() as cursor:
        cursor.execute("SAVEPOINT one")
        insert(slow, "a")
        cursor.execute("ROLLBACK TO one")
    stays = insert(quick, "b")
    quick.commit()
    assert reader.read(0).blocked
    slow.commit()
    assert ids(reader.read(0).rows) == [stays]


def test_owners_that_go_on_after_filling_the_gap_hold_nothing_up(reader, connect):
    early, middle, late = connect(), connect(), connect()
    first = insert(early, "a")
    second = insert(middle, "b")
    insert(late, "c")
    middle.commit()
    assert reader.read(0).blocked
    early.commit()
    assert ids(reader.read(0).rows) == [first, second]


def test_a_transaction_that_has_nothing_to_do_with_the_journal_holds_nothing_up(reader, connect):
    foreign, gone, kept = connect(), connect(), connect()
    with foreign.cursor() as cursor:
        cursor.execute("CREATE TABLE elsewhere (n int)")
        cursor.execute("SELECT pg_current_xact_id()")
    insert(gone, "a")
    gone.rollback()
    stays = insert(kept, "b")
    kept.commit()
    assert ids(reader.read(0).rows) == [stays]


def test_why_xmin_past_the_xmax_of_the_first_sight_is_not_enough(reader, connect):
    """The one that commits took its xid first and its id last: xmax is just past it, and the other is not seen."""
    early_xid, owner = connect(), connect()
    with early_xid.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
    missing = insert(owner, "a")
    visible = insert(early_xid, "b")
    early_xid.commit()
    watcher = connect()
    with watcher.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(s) >= pg_snapshot_xmax(s) FROM pg_current_snapshot() AS s")
        assert cursor.fetchone() == (True,)  # that rule would pass the missing id here
    assert reader.read(0).blocked
    owner.commit()
    assert ids(reader.read(0).rows) == [missing, visible]


def test_versions_of_a_key_keep_their_order_when_an_early_xid_waits_for_the_lock(reader, connect):
    setup, early, other = connect(), connect(), connect()
    with setup.cursor() as cursor:
        cursor.execute("CREATE TABLE aggregate (id text PRIMARY KEY, version int)")
        cursor.execute("INSERT INTO aggregate VALUES ('a', 0)")
    setup.commit()

    def change(connection: psycopg2.extensions.connection) -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE aggregate SET version = version + 1 WHERE id = 'a' RETURNING version")
            row = cursor.fetchone()
            assert row is not None
            insert(connection, "a", row[0])

    with early.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
    change(other)
    waiting = threading.Thread(target=change, args=(early,))
    waiting.start()
    other.commit()
    waiting.join(10)
    early.commit()
    rows = reader.read(0).rows
    assert [row.version for row in rows] == [1, 2]


def test_huge_gaps_and_dropped_days_are_passed_as_ranges(reader, connect, session):
    for start in (50_000_000, 900_000_000, 900_000_500):
        session.execute(f"SELECT setval('journal_id_seq', {start})")
        writer = connect()
        insert(writer, "a")
        writer.commit()
    began = time.monotonic()
    assert ids(reader.read(0).rows) == [50_000_001, 900_000_001, 900_000_501]
    assert time.monotonic() - began < 1.0


def test_what_was_dead_once_needs_no_wait_on_a_replay(reader, connect):
    gone, kept, open_one = connect(), connect(), connect()
    insert(gone, "a")
    gone.rollback()
    stays = insert(kept, "b")
    kept.commit()
    assert ids(reader.read(0).rows) == [stays]
    insert(open_one, "c")
    assert ids(reader.read(0).rows) == [stays]


def test_a_page_ends_at_its_limits_and_says_that_there_is_more(session, journal: Journal):
    journal.write(450)
    page = JournalReader(session, max_rows=300).read(0)
    assert (len(page.rows), page.more) == (300, True)
    journal.write(20, size=50_000)
    page = JournalReader(session, max_bytes=400_000).read(450)
    assert (len(page.rows), page.more) == (20, False)
    journal.write(400, size=5_000)
    page = JournalReader(session, max_bytes=400_000).read(470)
    assert (len(page.rows), page.more) == (100, True)


def test_reading_is_a_merge_of_index_scans_that_stops_early(session, journal: Journal):
    for _ in range(10):
        journal.write(2000)
    session.execute("ANALYZE journal")
    plan = "\n".join(
        row["QUERY PLAN"]
        for row in session.all(
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)"
            " SELECT * FROM journal WHERE id > 10000 ORDER BY id LIMIT 100"
        )
    )
    assert "Index Scan" in plan
    assert "Sort  " not in plan
    assert "actual rows=100" in plan


@pytest.mark.parametrize("seed", range(3))
def test_random_interleavings_lose_nothing_and_keep_every_keys_order(db: Database, settings, seed):
    """Many writers on few aggregates commit, roll back and dawdle, while a reader follows all along."""
    with db.transaction() as tx:
        tx.execute("CREATE TABLE aggregate (id text PRIMARY KEY, version int NOT NULL)")
        tx.execute("INSERT INTO aggregate SELECT 'a' || n, 0 FROM generate_series(0, 5) AS n")
    done = threading.Event()

    def write(number: int) -> None:
        chance = random.Random(seed * 100 + number)
        with contextlib.closing(psycopg2.connect(settings.database_url)) as connection:
            for _ in range(60):
                with connection.cursor() as cursor:
                    if chance.random() < 0.3:
                        cursor.execute("SELECT pg_current_xact_id()")
                    for key in sorted(chance.sample(range(6), chance.randint(1, 3))):
                        cursor.execute(
                            "UPDATE aggregate SET version = version + 1 WHERE id = %s RETURNING version", (f"a{key}",)
                        )
                        row = cursor.fetchone()
                        assert row is not None
                        if chance.random() < 0.2:
                            cursor.execute("SELECT pg_sleep(%s)", (chance.random() * 0.01,))
                        insert(connection, f"a{key}", row[0])
                if chance.random() < 0.25:
                    connection.rollback()
                else:
                    connection.commit()

    def follow() -> list[JournalRow]:
        seen: list[JournalRow] = []
        with db.session() as session:
            reader, position = JournalReader(session, max_rows=200), 0
            while True:
                last_look = done.is_set()
                page = reader.read(position)
                seen.extend(page.rows)
                position = page.rows[-1].id if page.rows else position
                if last_look and not page.rows and not page.blocked:
                    return seen

    with ThreadPoolExecutor(13) as threads:
        follower = threads.submit(follow)
        try:
            for writer in [threads.submit(write, number) for number in range(12)]:
                writer.result(60)
        finally:
            done.set()
        seen = follower.result(30)
    with db.transaction() as tx:
        committed = [row["id"] for row in tx.all("SELECT id FROM journal ORDER BY id")]
    assert ids(seen) == committed
    for key in range(6):
        versions = [row.version for row in seen if row.aggregate_id == f"a{key}"]
        assert versions == list(range(1, len(versions) + 1))


def test_a_row_that_waits_does_not_wait_longer_than_its_owner(reader, connect):
    slow, quick = connect(), connect()
    insert(slow, "a")
    insert(quick, "b")
    quick.commit()
    assert reader.read(0).blocked
    threading.Timer(0.2, slow.commit).start()
    wait_until(lambda: len(reader.read(0).rows) == 2, 5)
