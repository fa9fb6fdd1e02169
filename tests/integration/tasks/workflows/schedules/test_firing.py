"""Ticks become runs: each once however many look, after a crash, and after an absence as the policy says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from tasks.db.pool import Database, Transaction
from tasks.settings import Settings
from tasks.workflows.schedules.clock import look
from tasks.workflows.schedules.firing import Firing
from tasks.workflows.schedules.service import ScheduleService
from tasks.workflows.submitting import Submission, Submitted
from tests.integration.tasks.workflows.submitting import Runs

Row = dict[str, Any]
HOUR = timedelta(hours=1)


@pytest.fixture
def service(db: Database, runs: Runs) -> ScheduleService:
    return ScheduleService(db, runs, lambda: None)


@pytest.fixture
def overdue(db: Database, service: ScheduleService) -> Callable[..., Row]:
    """Makes a schedule whose next tick came ``late`` ago, as if nobody had looked since."""

    def make(name: str = "s", late: timedelta = timedelta(0), **given: Any) -> Row:
        given = {"workflow": "nap", **({} if "cron" in given else {"every_s": 3600}), **given}
        made = service.create({"name": name, **given}, "test")
        with db.transaction() as tx:
            [row] = tx.all(
                "UPDATE schedules SET next_tick = next_tick - %(back)s, due_at = due_at - %(back)s,"
                " created_at = created_at - %(back)s WHERE id = %(id)s RETURNING *, clock_timestamp() AS now",
                {"id": made["id"], "back": made["next_tick"] - datetime.now(UTC) + late + timedelta(seconds=1)},
            )
        return row

    return make


def ticks(db: Database) -> list[Row]:
    with db.transaction() as tx:
        return tx.all("SELECT * FROM schedule_ticks ORDER BY tick")


def journal(db: Database, event_type: str) -> list[Row]:
    with db.transaction() as tx:
        return tx.all("SELECT version, payload FROM journal WHERE event_type = %(t)s ORDER BY id", {"t": event_type})


def test_a_tick_that_has_come_is_a_run(db: Database, runs: Runs, overdue: Callable[..., Row]) -> None:
    row = overdue(
        input={"day": "${{ schedule.tick }}", "by": "${{ schedule.name }}", "n": 1}, priority=9, tags=["nightly"],
        metadata={"team": "a"},
    )  # fmt: skip
    firing = Firing(db, runs)
    assert firing.fire_due() == 1
    assert firing.fire_due() == 0
    [run] = runs.rows()
    tick = row["next_tick"]
    assert run["input"] == {"day": tick.isoformat().replace("+00:00", "Z"), "by": "s", "n": 1}
    assert (run["priority"], run["tags"], run["metadata"]) == (9, ["nightly"], {"team": "a"})
    assert run["submitted_by"] == "schedule:s"
    assert runs.hinted == [run["id"]]
    with db.transaction() as tx:
        [after] = tx.all("SELECT * FROM schedules")
    assert after["next_tick"] == tick + HOUR
    assert after["last_run_id"] == run["id"]
    [told] = journal(db, "schedule-ticked")
    assert told["version"] == after["version"]
    assert told["payload"]["ticks"][0]["workflow_id"] == str(run["id"])


def test_each_tick_is_one_run_however_many_look(
    settings: Settings, db: Database, runs: Runs, overdue: Callable[..., Row]
) -> None:
    for number in range(40):
        overdue(f"s{number}", catch_up="all", every_s=60, late=timedelta(minutes=number % 7))
    together = threading.Barrier(4)

    def beat() -> int:
        own = Database(settings, "beat")
        try:
            firing = Firing(own, runs)
            together.wait(10)
            return sum(iter(firing.fire_due, 0))
        finally:
            own.close()

    with ThreadPoolExecutor(4) as threads:
        beats = [threads.submit(beat) for _ in range(4)]
        assert sum(each.result(60) for each in beats) >= 40
    # One that was passed over because it was held is looked at again.
    while Firing(db, runs).fire_due():
        pass
    expected = sum(number % 7 + 1 for number in range(40))
    assert len(runs.rows()) == expected
    assert len(ticks(db)) == expected
    assert len({row["idempotency_key"] for row in runs.rows()}) == expected


class Crashing(Runs):
    """Dies when it has made ``after`` runs, as a process does: its connection is gone."""

    def __init__(self, db: Database, settings: Settings, after: int) -> None:
        super().__init__(db, settings)
        self._left = after

    def submit(self, submission: Submission, tx: Transaction | None = None) -> Submitted:
        made = super().submit(submission, tx)
        self._left -= 1
        if self._left == 0:
            assert tx is not None
            tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return made


@pytest.mark.parametrize("after", [1, 3, 5])
def test_who_dies_with_a_tick_in_hand_has_not_run_it(
    settings: Settings, db: Database, runs: Runs, overdue: Callable[..., Row], after: int
) -> None:
    for number in range(5):
        overdue(f"s{number}")
    with pytest.raises(Exception, match="connection"):
        Firing(db, Crashing(db, settings, after)).fire_due()
    assert runs.rows() == []
    assert ticks(db) == []
    assert Firing(db, runs).fire_due() == 5
    assert len(runs.rows()) == 5


POLICIES = [
    ("skip, long ago", {"catch_up": "skip"}, 0, "missed"),
    ("skip, just now", {"catch_up": "skip", "grace_s": 3600}, 1, "missed"),
    ("one", {"catch_up": "one"}, 1, "missed"),
    ("all", {"catch_up": "all"}, 6, None),
    ("all, the last three", {"catch_up": "all", "catch_up_limit": 3}, 3, "missed"),
]


@pytest.mark.parametrize(
    ("policy", "count", "passed"), [case[1:] for case in POLICIES], ids=[case[0] for case in POLICIES]
)
def test_what_was_missed_is_caught_up_as_the_policy_says(
    db: Database, runs: Runs, overdue: Callable[..., Row], policy: Row, count: int, passed: str | None
) -> None:
    late = timedelta(hours=5, minutes=30)
    row = overdue(late=late, input={"tick": "${{ schedule.tick }}", "missed": "${{ schedule.missed }}"}, **policy)
    while Firing(db, runs).fire_due():
        pass
    made = [run["input"] for run in runs.rows()]
    newest = row["next_tick"] + 5 * HOUR
    expected = [newest - step * HOUR for step in reversed(range(count))]
    assert [datetime.fromisoformat(run["tick"]) for run in made] == expected
    outcomes = ticks(db)
    assert [each["outcome"] for each in outcomes] == [*([passed] if passed else []), *["started"] * count]
    if passed:
        missed = 6 - count
        assert outcomes[0]["detail"] == f"{missed} ticks were missed"
        assert all(run["missed"] == missed for run in made)
    with db.transaction() as tx:
        [after] = tx.all("SELECT next_tick FROM schedules")
    assert after["next_tick"] == newest + HOUR


def test_a_long_absence_is_caught_up_piece_by_piece(db: Database, runs: Runs, overdue: Callable[..., Row]) -> None:
    row = overdue(every_s=1, late=timedelta(days=30), catch_up="all", catch_up_limit=45)
    firing = Firing(db, runs)
    assert firing.fire_due() == 1
    assert len(runs.rows()) == 20
    while len(runs.rows()) < 45:
        assert firing.fire_due() == 1
    assert all(each["tick"] > row["now"] - timedelta(minutes=1) for each in ticks(db) if each["run_id"])


def test_one_that_is_not_over_is_not_joined_by_the_next(
    db: Database, runs: Runs, overdue: Callable[..., Row]
) -> None:
    def come_again(schedule: str) -> None:
        with db.transaction() as tx:
            tx.execute(
                "UPDATE schedules SET due_at = now() - interval '1 second', next_tick = now() - interval '1 second'"
                " WHERE name = %(name)s",
                {"name": schedule},
            )

    overdue(overlap="skip")
    firing = Firing(db, runs)
    assert firing.fire_due() == 1
    come_again("s")
    assert firing.fire_due() == 1
    assert [each["outcome"] for each in ticks(db)] == ["started", "overlapped"]
    with db.transaction() as tx:
        tx.execute("UPDATE runs SET state = 'succeeded', finished_at = now(), due_at = NULL")
    come_again("s")
    assert firing.fire_due() == 1
    assert [each["outcome"] for each in ticks(db)] == ["started", "overlapped", "started"]


def test_a_tick_that_can_not_run_is_told_and_holds_up_nobody(
    db: Database, runs: Runs, overdue: Callable[..., Row]
) -> None:
    overdue("refused", workflow="fussy", input={"a": 1})
    overdue("absent", input={"x": "${{ schedule.previous_tick.year }}"})
    overdue("good")
    assert Firing(db, runs).fire_due() == 3
    assert [run["submitted_by"] for run in runs.rows()] == ["schedule:good"]
    failed = [each for each in ticks(db) if each["outcome"] == "failed"]
    assert sorted(each["detail"][:9] for each in failed) == ["The input", "null has "]
    assert len(journal(db, "schedule-ticked")) == 3


def test_the_last_tick_is_the_end(db: Database, runs: Runs, overdue: Callable[..., Row]) -> None:
    overdue(ends_at=datetime.now(UTC) + 1.5 * HOUR)
    assert Firing(db, runs).fire_due() == 1
    with db.transaction() as tx:
        tx.execute("UPDATE schedules SET due_at = now(), next_tick = ends_at")
    assert Firing(db, runs).fire_due() == 1
    with db.transaction() as tx:
        [row] = tx.all("SELECT state, next_tick, due_at FROM schedules")
    assert row == {"state": "ended", "next_tick": None, "due_at": None}


def test_the_rows_allow_no_second_run_of_a_tick(db: Database, runs: Runs, overdue: Callable[..., Row]) -> None:
    overdue()
    Firing(db, runs).fire_due()
    with pytest.raises(psycopg2.errors.UniqueViolation), db.transaction() as tx:
        tx.execute("INSERT INTO schedule_ticks SELECT * FROM schedule_ticks")


class Never:
    """A worker that is not stopped."""

    def requested(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        return threading.Event().wait(seconds)


def test_who_looks_waits_for_ticks_that_are_near(db: Database, runs: Runs, service: ScheduleService) -> None:
    service.create({"name": "s", "workflow": "nap", "every_s": 1}, "test")
    fired: list[datetime] = []
    # The next one is near: a successor is to go on.
    assert look(db, Firing(db, runs), Never(), lambda: fired.append(datetime.now(UTC)), stay_s=3.0)
    came = [each for each in ticks(db) if each["outcome"] == "started"]
    assert 1 <= len(fired) == len(came)
    # Not before their time, and not by far too late, however slow the machine is now.
    late = [each["recorded_at"] - each["tick"] for each in came]
    assert all(timedelta(0) <= each < timedelta(seconds=30) for each in late)


def test_one_looks_at_a_time(db: Database, runs: Runs, overdue: Callable[..., Row]) -> None:
    overdue()
    with db.session() as session:
        assert session.one("SELECT pg_try_advisory_lock(7301, 3) AS held") == {"held": True}
        assert not look(db, Firing(db, runs), Never(), lambda: None)
    assert runs.rows() == []
    assert not look(db, Firing(db, runs), Never(), lambda: None)
    assert len(runs.rows()) == 1
