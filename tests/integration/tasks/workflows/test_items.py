"""Items of a map: fenced by their leases, ended each as it went, kept when their run is tried again."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest

from tasks.workflows.attempt import Attempt
from tasks.workflows.functions import step
from tasks.workflows.work.clock import Clock
from tasks.workflows.work.itemwork import ItemWork
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


def mapped(bench: Workbench, task: str, **args: object) -> UUID:
    """A run whose map waits for its items."""
    inner = {"kind": "task", "with": {"task": task, "args": {"item": "${{ item }}", **args}}}
    with bench.db.transaction() as tx:
        tx.execute(EFFECTS)
    over = {"over": list(range(ITEMS)), "step": inner}
    run_id = bench.submit({"key": "m", "kind": "map", "with": over})
    bench.work(run_id)
    assert bench.steps(run_id) == {"m": "waiting"}
    return run_id


def work(bench: Workbench, run_id: UUID) -> None:
    """What a worker does with a message about all items."""
    ItemWork(bench.runtime, bench.following).work(run_id, 0, [(0, ITEMS)])


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
