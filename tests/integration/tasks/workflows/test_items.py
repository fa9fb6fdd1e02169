"""Items of a map: fenced by their leases, ended each as it went, kept when their run is tried again."""

from __future__ import annotations

import time
from collections import Counter
from uuid import UUID

import pytest

from tasks.workflows.attempt import Attempt
from tasks.workflows.functions import step
from tasks.workflows.work import holding, itemwork
from tasks.workflows.work.clock import Clock
from tasks.workflows.work.itemwork import ItemWork
from tasks.workflows.work.leases import Leases
from tests.integration.tasks.workflows.engine import EFFECTS
from tests.integration.tasks.workflows.engine_tasks import effect
from tests.integration.tasks.workflows.workbench import Workbench

pytestmark = pytest.mark.timeout(60)

ITEMS = 4
# What happens to the item 2 while its worker is at it, as where that was stopped past the lease.
_MEANWHILE = {
    "lease": "UPDATE step_items SET lease_token = gen_random_uuid() WHERE run_id = %(id)s AND index = 2",
    "cancel": "UPDATE steps SET state = 'cancelled', finished_at = now(), due_at = NULL, waits_for = NULL"
    " WHERE run_id = %(id)s",
}


@step("test.overtaken")
def overtaken(attempt: Attempt, by: str, item: int) -> int:
    """Has its effect; the item 2 is not its worker's any more by then."""
    if item == 2:
        with attempt.runtime.db.transaction() as tx:
            tx.execute(_MEANWHILE[by], {"id": attempt.run_id})
    return int(effect(attempt, item))


@step("test.picky", max_attempts=1)
def picky(attempt: Attempt, item: int, refused: list[int]) -> int:
    """Has its effect; that of a refused item fails, or with 9 among them the attempt."""
    if item in refused and 9 in refused:
        raise ValueError(f"not {item}")
    effect(attempt)
    if item in refused:
        attempt.effect(lambda tx: tx.execute("SELECT 'x'::integer"))
    return item


# The states of those behind the slow item, when it ends.
_behind: list[list[str]] = []


@step("test.lingering", timeout_s=30)
def lingering(attempt: Attempt, item: int, slow: int, most_s: float) -> int:
    """Has its effect; the slow item takes until those that its worker claimed with it are others' to take, or so
    long."""
    if item == slow:
        until = time.monotonic() + most_s
        while "running" in behind(attempt, slow) and time.monotonic() < until:
            time.sleep(0.05)
        _behind.append(behind(attempt, slow))
    return int(effect(attempt, item))


def behind(attempt: Attempt, index: int) -> list[str]:
    with attempt.runtime.db.transaction() as tx:
        rows = tx.all(
            "SELECT state FROM step_items WHERE run_id = %(id)s AND index > %(index)s ORDER BY index",
            {"id": attempt.run_id, "index": index},
        )
    return [row["state"] for row in rows]


def mapped(bench: Workbench, task: str, *, items: int = ITEMS, most: int | None = None, **args: object) -> UUID:
    """A run whose map waits for its items."""
    inner = {"kind": "task", "with": {"task": task, "args": {"item": "${{ item }}", **args}}}
    with bench.db.transaction() as tx:
        tx.execute(EFFECTS)
    over = {"over": list(range(items)), "step": inner, **({"max_parallel": most} if most else {})}
    run_id = bench.submit({"key": "m", "kind": "map", "with": over})
    bench.work(run_id)
    assert bench.steps(run_id) == {"m": "waiting"}
    return run_id


def work(bench: Workbench, run_id: UUID, items: int = ITEMS) -> int:
    """What a worker does with a message about all items; how many attempts that were."""
    return ItemWork(bench.runtime, bench.following).work(run_id, 0, [(0, items)])


def effects(bench: Workbench) -> dict[int, int]:
    return Counter(int(row["key"].rpartition("/")[2]) for row in bench.rows("SELECT key FROM effects"))


def states(bench: Workbench, run_id: UUID) -> list[str]:
    rows = bench.rows("SELECT state FROM step_items WHERE run_id = %(id)s ORDER BY index", id=run_id)
    return [row["state"] for row in rows]


def test_an_item_that_another_has_by_now_has_no_effect_here(bench: Workbench) -> None:
    run_id = mapped(bench, "test.overtaken", by="lease")
    work(bench, run_id)
    assert states(bench, run_id) == ["succeeded", "succeeded", "running", "succeeded"]
    assert effects(bench) == {0: 1, 1: 1, 3: 1}
    assert bench.rows("SELECT items_open FROM steps") == [{"items_open": 1}]


def test_an_item_of_a_map_that_was_called_off_has_no_effect(bench: Workbench) -> None:
    run_id = mapped(bench, "test.overtaken", by="cancel")
    work(bench, run_id)
    assert effects(bench) == {0: 1, 1: 1}
    assert states(bench, run_id)[:2] == ["succeeded", "succeeded"]
    assert "succeeded" not in states(bench, run_id)[2:]


def test_an_effect_that_fails_fails_its_own_item_alone(bench: Workbench) -> None:
    run_id = mapped(bench, "test.picky", refused=[1, 2])
    work(bench, run_id)
    assert states(bench, run_id) == ["succeeded", "failed", "failed", "succeeded"]
    assert effects(bench) == {0: 1, 3: 1}
    run = bench.run(run_id)
    assert (run["state"], run["error_code"]) == ("failed", "InvalidTextRepresentation")


@pytest.mark.parametrize("refused", [[2, 9], [0, 1, 2, 3, 9], [9]])
def test_a_run_that_is_tried_again_keeps_the_items_that_succeeded(bench: Workbench, refused: list[int]) -> None:
    run_id = mapped(bench, "test.picky", refused=refused)
    if refused == [9]:
        # Called off when all of its items had ended, and nobody had looked at them yet.
        bench.rows("UPDATE step_items SET state = 'succeeded', output = item, finished_at = now() RETURNING 1")
        bench.service.cancel(run_id, "ada")
    else:
        work(bench, run_id)
        assert bench.run(run_id)["state"] == "failed"
    before = bench.rows("SELECT * FROM step_items WHERE state = 'succeeded' ORDER BY index")
    bench.service.retry(run_id, "ada")
    bench.work(run_id)
    kept = [row["index"] for row in before]
    assert bench.rows("SELECT * FROM step_items WHERE index = ANY(%(kept)s) ORDER BY index", kept=kept) == before
    bench.rows("UPDATE step_items SET item = '7' WHERE state = 'ready' RETURNING 1")
    work(bench, run_id)
    assert bench.run(run_id)["output"] == {"m": [7 if n in refused else n for n in range(ITEMS)]}
    assert effects(bench) == ({} if refused == [9] else dict.fromkeys(range(ITEMS), 1))
    bench.check_journal(run_id)


def test_an_item_whose_worker_stops_in_time_is_begun_again_by_the_clock(bench: Workbench) -> None:
    run_id = mapped(bench, "test.overtaken", by="lease")
    work(bench, run_id)
    bench.rows("UPDATE step_items SET due_at = now() WHERE state = 'running' RETURNING 1")
    Clock(bench.runtime, bench.following).tick()
    assert states(bench, run_id)[2] == "ready"


@pytest.mark.parametrize("bundled", [False, True], ids=["alone", "bundled"])
def test_an_attempt_whose_worker_is_gone_is_told_where_it_counts(bench: Workbench, bundled: bool) -> None:
    run_id = mapped(bench, "test.overtaken", by="lease")
    work(bench, run_id)
    bench.rows(
        "UPDATE step_items SET due_at = now(), bundled = %(bundled)s WHERE state = 'running' RETURNING 1",
        bundled=bundled,
    )
    Clock(bench.runtime, bench.following).tick()
    told = bench.rows("SELECT aggregate_id, payload FROM journal WHERE event_type = 'workflow-item-changed'")
    assert bench.rows("SELECT attempt FROM step_items WHERE index = 2") == [{"attempt": 0 if bundled else 1}]
    assert [(row["aggregate_id"], row["payload"]["attempt"], row["payload"]["error_code"]) for row in told] == (
        [] if bundled else [(f"{run_id}/m/2", 1, "WorkerLost")]
    )
    work(bench, run_id)
    bench.check_journal(run_id)


@pytest.mark.parametrize("most", [None, 1], ids=["all at once", "so many at once"])
def test_what_was_claimed_with_an_item_that_takes_long_is_given_back(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    """Claimed are 0, then 1 and 2, then 3 to 6; that 3 takes long is noticed when its lease is renewed."""
    monkeypatch.setattr(itemwork, "_SHORT_S", 60.0)
    monkeypatch.setattr(bench.runtime.kept(Leases), "_every_s", 0.2)
    if most:
        monkeypatch.setattr(holding, "_PATIENCE_S", 0.1)
    run_id = mapped(bench, "test.lingering", items=7, most=most, slow=3, most_s=1.0 if most else 10.0)
    _behind.clear()
    assert work(bench, run_id, 7) == 7
    assert _behind == [["running" if most else "ready"] * 3]
    assert bench.rows("SELECT DISTINCT state, attempt FROM step_items") == [{"state": "succeeded", "attempt": 1}]
    assert effects(bench) == dict.fromkeys(range(7), 1)
    assert bench.run(run_id)["state"] == "succeeded"
    bench.check_journal(run_id)
