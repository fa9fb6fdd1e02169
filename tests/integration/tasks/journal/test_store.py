"""The journal: order of ids, partitions made ahead, and dropped only behind every sink."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.db.pool import Database
from tasks.ids import new_id
from tasks.journal import store
from tasks.journal.model import JournalEvent


def _event(n: int) -> JournalEvent:
    return JournalEvent("thing", "1", n, "thing-changed", {"n": n})


def test_rows_get_ids_in_the_callers_order(db: Database) -> None:
    with db.transaction() as tx:
        ids = store.append(tx, [_event(n) for n in range(1, 500)])
        assert ids == sorted(ids)
        rows = store.of_aggregate(tx, "thing", "1")
    assert [row["payload"]["n"] for row in rows] == list(range(1, 500))
    assert [row["id"] for row in rows] == ids


def test_a_rollback_takes_the_journal_with_it(db: Database) -> None:
    def fail() -> None:
        with db.transaction() as tx:
            store.append(tx, [_event(1)])
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it has no text
        fail()
    with db.transaction() as tx:
        assert store.of_aggregate(tx, "thing", "1") == []


def test_todays_rows_are_in_todays_partition(db: Database) -> None:
    with db.transaction() as tx:
        names = store.make_partitions(tx, 5)
        assert len(names) == 6
        store.append(tx, [_event(1)])
        row = tx.one("SELECT tableoid::regclass::text AS partition FROM journal")
    assert row is not None
    assert row["partition"] in names


def test_a_day_is_dropped_only_when_every_sink_has_passed_it(db: Database) -> None:
    old = datetime.now(UTC).date() - timedelta(days=40)
    with db.transaction() as tx:
        for days in range(2):
            tx.one("SELECT journal_make_partition(%(day)s)", {"day": old + timedelta(days=days)})
            tx.execute(
                "INSERT INTO journal"
                " (event_id, recorded_at, aggregate_type, aggregate_id, version, event_type, payload)"
                " VALUES (%(id)s, %(at)s, 'thing', '1', 1, 'thing-changed', '{}')",
                {"id": new_id(), "at": datetime.combine(old + timedelta(days=days), datetime.min.time(), UTC)},
            )
        tx.execute("INSERT INTO sink_cursors (sink, reads) VALUES ('slow', 'journal')")
        ids = [row["id"] for row in tx.all("SELECT id FROM journal ORDER BY id")]
        tx.execute("UPDATE sink_cursors SET position = %(id)s WHERE sink = 'kafka'", {"id": ids[1]})
        tx.execute("UPDATE sink_cursors SET position = %(id)s WHERE sink = 'slow'", {"id": ids[0]})
    with db.transaction() as tx:
        assert store.drop_partitions(tx, 30) == [f"journal_{old:%Y%m%d}"]
        assert store.drop_partitions(tx, 30) == []
        tx.execute("UPDATE sink_cursors SET position = %(id)s", {"id": ids[1]})
        assert store.drop_partitions(tx, 50) == []
        assert store.drop_partitions(tx, 30) == [f"journal_{old + timedelta(days=1):%Y%m%d}"]
