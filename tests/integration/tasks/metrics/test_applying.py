"""From rows to rollups: every row counts once, whatever the order, the chunks, the company and the repeats."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.errors import ValidationFailed
from tasks.metrics import store
from tasks.metrics.applying import Applier
from tasks.metrics.model import Chunk, Execution
from tasks.metrics.rebuilding import Rebuilder, RebuiltDay
from tasks.metrics.service import MetricsService
from tasks.settings import Settings
from tests.integration.tasks.metrics.conftest import YESTERDAY, many
from tests.integration.tasks.metrics.expected import SELECT_ROLLUPS, as_told, rollups_of


@pytest.fixture
def small_chunks(settings: Settings) -> Settings:
    return replace(settings, metrics_chunk_rows=40, metrics_lease_s=0.0)


@pytest.fixture
def applier(db: Database, small_chunks: Settings) -> Applier:
    return Applier(db, small_chunks)


@pytest.fixture
def in_chunks(db: Database, small_chunks: Settings) -> MetricsService:
    """Records in chunks of 40 rows."""
    return MetricsService(db, small_chunks, lambda: None)


@pytest.fixture
def check(rows: Any) -> Callable[[], None]:
    """Holds the rollups against all rows of executions."""

    def compare() -> None:
        expected = rollups_of(rows("SELECT * FROM model_executions"))
        assert as_told(rows(SELECT_ROLLUPS)) == expected

    return compare


def work_through(applier: Applier) -> None:
    """All that ``metrics.apply`` does, and its chords."""
    while True:
        batches = applier.dispatch()
        for chunks in batches:
            for chunk in chunks:
                applier.apply(chunk)
            applier.close([chunks[0].batch_id])
        if not applier.apply_small() + applier.close_left() + len(batches):
            return


def test_rollups_are_what_the_rows_say(
    in_chunks: MetricsService, applier: Applier, check: Callable[[], None], rows: Any
) -> None:
    executions = many(300)
    in_chunks.record(executions[:200])
    work_through(applier)
    check()
    # Late, repeated, and one by one.
    for single in executions[190:230]:
        in_chunks.record([single])
    in_chunks.record(executions)
    work_through(applier)
    check()
    assert rows("SELECT sum(executions)::int AS n FROM model_rollups WHERE grain = 'day'") == [{"n": 300}]
    assert rows("SELECT count(*) AS n FROM metric_batches WHERE state = 'closed' AND counted = recorded") == [
        {"n": rows("SELECT count(*) AS n FROM metric_batches")[0]["n"]}
    ]


def test_a_chunk_counts_once_however_often_it_is_told(
    in_chunks: MetricsService, applier: Applier, check: Callable[[], None]
) -> None:
    batch_id = in_chunks.record(many(100)).batch_id
    assert batch_id is not None
    assert [applier.apply(Chunk(batch_id, number)) for number in (2, 0, 0, 1, 2, 7)] == [
        True, True, False, True, False, False,
    ]  # fmt: skip
    assert applier.close([batch_id, batch_id]) == 1
    assert applier.close([batch_id]) == 0
    check()


def test_a_chord_that_is_lost_half_way_is_carried_on(
    in_chunks: MetricsService, applier: Applier, db: Database, check: Callable[[], None], rows: Any
) -> None:
    in_chunks.record(many(200))
    [chunks] = applier.dispatch()
    assert applier.dispatch() == []
    applier.apply(chunks[1])
    with db.transaction() as tx:
        assert store.is_waiting(tx, 0, 0)
    assert applier.apply_small() == 4
    work_through(applier)
    check()
    assert rows("SELECT state FROM metric_batches") == [{"state": "closed"}]
    with db.transaction() as tx:
        assert not store.is_waiting(tx, 0, 0)


def test_a_chord_that_lost_only_its_body_is_closed(in_chunks: MetricsService, applier: Applier, rows: Any) -> None:
    in_chunks.record(many(100))
    [chunks] = applier.dispatch()
    assert applier.close([chunks[0].batch_id]) == 0
    for chunk in chunks:
        applier.apply(chunk)
    assert applier.close_left() == 1
    told = rows("SELECT payload FROM journal WHERE aggregate_type = 'metric-batch' ORDER BY id")
    assert [row["payload"]["state"] for row in told] == ["received", "closed"]


def test_nobody_meddles_with_a_chord_before_its_lease_is_over(db: Database, small_chunks: Settings) -> None:
    patient = Applier(db, replace(small_chunks, metrics_lease_s=60))
    MetricsService(db, small_chunks, lambda: None).record(many(100))
    assert len(patient.dispatch()) == 1
    assert patient.apply_small() == patient.close_left() == 0


def test_many_writers_at_once_neither_block_each_other_for_good_nor_count_twice(
    in_chunks: MetricsService, db: Database, small_chunks: Settings, check: Callable[[], None]
) -> None:
    executions = many(1_200)
    parts = [executions[start : start + 150] for start in range(0, 1_200, 100)]

    def write(part: list[Execution]) -> None:
        source = random.Random(len(part))
        in_chunks.record(source.sample(part, len(part)))
        work_through(Applier(db, small_chunks))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, [*parts, *parts]))
    check()


def test_days_built_anew_are_the_days_that_were(
    in_chunks: MetricsService,
    applier: Applier,
    db: Database,
    settings: Settings,
    check: Callable[[], None],
    rows: Any,
) -> None:
    in_chunks.record(many(300))
    work_through(applier)
    before = as_told(rows(SELECT_ROLLUPS))
    with db.transaction() as tx:
        tx.execute("UPDATE metric_rollups SET executions = 99 WHERE grain <> 'day'")
        tx.execute("DELETE FROM metric_rollups WHERE grain = 'day'")
    in_chunks.record(many(30, "later", seed=5))
    days = list(Rebuilder(db, settings).rebuild((YESTERDAY - timedelta(days=3)).date(), YESTERDAY.date()))
    assert sum(day.rows for day in days) == 300
    assert [day.day for day in days] == [(YESTERDAY - timedelta(days=back)).date() for back in (3, 2, 1, 0)]
    assert as_told(rows(SELECT_ROLLUPS)) == before
    work_through(applier)
    check()


def test_a_rebuild_beside_writers_changes_nothing(
    in_chunks: MetricsService, db: Database, small_chunks: Settings, check: Callable[[], None]
) -> None:
    def write(number: int) -> list[RebuiltDay] | None:
        if number % 3 == 0:
            rebuilder = Rebuilder(db, small_chunks)
            return list(rebuilder.rebuild((YESTERDAY - timedelta(days=3)).date(), YESTERDAY.date()))
        in_chunks.record(many(60, f"w{number}", seed=number))
        work_through(Applier(db, small_chunks))
        return None

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(18)))
    check()


def test_days_whose_rows_may_be_gone_are_not_built_anew(db: Database, settings: Settings) -> None:
    rebuilder = Rebuilder(db, settings)
    today = datetime.now(UTC).date()
    for first, last, pointer in [(today, today - timedelta(1), "/to"), (date(2020, 1, 1), today, "/from")]:
        with pytest.raises(ValidationFailed) as refused:
            list(rebuilder.rebuild(first, last))
        assert [error.pointer for error in refused.value.errors] == [pointer]


def test_retention_goes_batch_by_batch(in_chunks: MetricsService, applier: Applier, db: Database, rows: Any) -> None:
    for name in ("old", "open", "new"):
        in_chunks.record(many(50, name))
        if name != "open":
            work_through(applier)
    with db.transaction() as tx:
        tx.execute("UPDATE metric_batches SET state = 'received', counted = NULL, closed_at = NULL, version = 1"
                   " WHERE id = (SELECT batch_id FROM model_executions WHERE execution_id = 'open-1')")  # fmt: skip
        tx.execute("UPDATE metric_batches SET received_at = now() - interval '91 days'"
                   " WHERE id <> (SELECT batch_id FROM model_executions WHERE execution_id = 'new-1')")  # fmt: skip
        assert store.forget(tx, 90, 10) == 1
    left = {row["execution_id"].split("-")[0] for row in rows("SELECT execution_id FROM model_executions")}
    assert left == {"open", "new"}
    assert rows("SELECT count(*) AS n FROM metric_batches") == [{"n": 2}]
    assert rows("SELECT sum(executions)::int AS n FROM model_rollups WHERE grain = 'day'")[0]["n"] >= 100
