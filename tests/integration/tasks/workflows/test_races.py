"""Acts that come at once, from connections of their own: one of them wins, whole, and the other is told so."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest

from tasks.errors import BridgeError, Conflict
from tasks.workflows import definitions
from tasks.workflows.attempt import StepError
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.service import WorkflowService
from tasks.workflows.store.steps import Claimed, LeaseLost
from tasks.workflows.work.clock import Clock
from tasks.workflows.work.contexts import Contexts, RunContext
from tasks.workflows.work.outcomes import Child, Failed, Skipped, Waits
from tests.integration.tasks.workflows.workbench import Workbench

pytestmark = pytest.mark.timeout(120)

ROUNDS = 30
TASK = {"kind": "task", "with": {"task": "demo.fib"}}
LINE = [{"key": "a", **TASK}, {"key": "b", "needs": ["a"], **TASK}]
WAIT = {"key": "w", "kind": "wait", "with": {"signal": "go", "timeout_s": 3600}}


def test_cancel_and_the_last_completion(bench: Workbench) -> None:
    keyed = {"concurrency": {"key": "${{ input.customer }}", "limit": 1}, "max_parallel": 1}
    seen: Counter[str] = Counter()
    next_run = bench.submit({"key": "a", **TASK}, **keyed)
    for _ in range(8 * ROUNDS):
        run_id, next_run = next_run, bench.submit({"key": "a", **TASK}, **keyed)
        assert (bench.run(run_id)["state"], bench.run(next_run)["state"]) == ("running", "pending")
        token = bench.claim(run_id, 0, limited=True)
        completed, cancelled = bench.race(
            lambda run_id=run_id, token=token: bench.complete(run_id, 0, token),
            lambda run_id=run_id: bench.service.cancel(run_id, "ada"),
        )
        run = bench.run(run_id)
        won = not isinstance(cancelled, BridgeError)
        assert run["state"] == ("cancelled" if won else "succeeded")
        assert won or isinstance(cancelled, Conflict), cancelled
        assert bench.steps(run_id)["a"] == ("succeeded" if completed == "done" else "cancelled")
        assert (run["output"] is None) == won
        assert (run["open_leaves"], run["due_at"]) == (0, None)
        bench.check_journal(run_id)
        # Whoever won, its place is free for the next one of its key, and nobody else has taken it.
        assert bench.run(next_run)["state"] == "running"
        seen[f"{run['state']}, step {bench.steps(run_id)['a']}"] += 1
    assert seen.keys() >= {"succeeded, step succeeded", "cancelled, step cancelled"}, seen


def test_cancel_and_a_failed_attempt(bench: Workbench) -> None:
    seen: Counter[str] = Counter()
    retry = {"max_attempts": 2}
    for _ in range(ROUNDS):
        run_id = bench.submit({"key": "a", "retry": retry, **TASK}, max_parallel=1)
        token, context = bench.claim(run_id, 0, limited=True), bench.context(run_id)

        def fail(context: RunContext = context, token: UUID = token) -> str:
            try:
                bench.writer.end(context, Claimed(0, 1), token, Failed(StepError("no")))
            except LeaseLost:
                return "lost"
            return "retrying"

        ended, cancelled = bench.race(fail, lambda run_id=run_id: bench.service.cancel(run_id, "ada"))
        assert cancelled["state"] == "cancelled"
        assert bench.steps(run_id) == {"a": "cancelled"}
        assert bench.rows("SELECT 1 FROM steps WHERE due_at IS NOT NULL") == []
        bench.check_journal(run_id)
        seen[ended] += 1
        # Tried again, it has its one place free.
        bench.service.retry(run_id, "ada")
        bench.claim(run_id, 0, limited=True)
        bench.service.cancel(run_id, "ada")
    assert seen.keys() == {"lost", "retrying"}


def test_cancel_and_retry(bench: Workbench) -> None:
    seen: Counter[str] = Counter()
    for _ in range(ROUNDS):
        run_id = bench.submit(*LINE)
        token = bench.claim(run_id, 0)
        bench.writer.end(bench.context(run_id), Claimed(0, 9), token, Failed(StepError("no")))
        assert bench.run(run_id)["state"] == "failed"
        retried, cancelled = bench.race(
            lambda run_id=run_id: bench.service.retry(run_id, "ada"),
            lambda run_id=run_id: bench.service.cancel(run_id, "ada"),
        )
        assert retried["state"] == "running"
        late = isinstance(cancelled, Conflict)
        assert late or cancelled["state"] == "cancelled", cancelled
        assert bench.run(run_id)["state"] == ("running" if late else "cancelled")
        assert bench.steps(run_id) == (
            {"a": "ready", "b": "pending"} if late else {"a": "cancelled", "b": "cancelled"}
        )
        bench.check_journal(run_id)
        seen["late" if late else "cancelled"] += 1
    assert seen.keys() == {"late", "cancelled"}


def test_two_retries_and_a_compensation(bench: Workbench) -> None:
    undo = {"compensate": {"kind": "task", "with": {"task": "demo.fib"}}}
    for _ in range(ROUNDS // 2):
        run_id = bench.submit({**LINE[0], **undo}, LINE[1])
        bench.complete(run_id, 0, bench.claim(run_id, 0))
        bench.writer.end(bench.context(run_id), Claimed(1, 9), bench.claim(run_id, 1), Failed(StepError("no")))
        told = bench.race(
            lambda run_id=run_id: bench.service.retry(run_id, "ada"),
            lambda run_id=run_id: bench.service.retry(run_id, "bob"),
            lambda run_id=run_id: bench.service.compensate(run_id, "cy"),
        )
        won = [one for one in told if not isinstance(one, BridgeError)]
        assert len(won) == 1
        assert all(isinstance(one, Conflict) for one in told if isinstance(one, BridgeError)), told
        assert bench.run(run_id)["state"] == won[0]["state"]
        bench.check_journal(run_id)


@pytest.mark.parametrize("rival", ["cancel", "resume"])
def test_pause_and_its_rivals(bench: Workbench, rival: str) -> None:
    for _ in range(ROUNDS):
        run_id = bench.submit(*({"key": f"s{n}", **TASK} for n in range(20)))
        told = bench.race(
            lambda run_id=run_id: bench.service.pause(run_id, "ada"),
            lambda run_id=run_id: getattr(bench.service, rival)(run_id, "bob"),
        )
        assert all(isinstance(one, Conflict) for one in told if isinstance(one, BridgeError)), told
        state = bench.run(run_id)["state"]
        assert state == ("cancelled" if rival == "cancel" else "running" if isinstance(told[1], dict) else "paused")
        due = bench.rows("SELECT count(due_at) AS count FROM steps WHERE run_id = %(id)s", id=run_id)[0]["count"]
        assert due == (20 if state == "running" else 0)
        bench.check_journal(run_id)


def test_resume_and_cancel(bench: Workbench) -> None:
    for _ in range(ROUNDS):
        run_id = bench.submit(*({"key": f"s{n}", **TASK} for n in range(20)))
        bench.service.pause(run_id, "ada")
        told = bench.race(
            lambda run_id=run_id: bench.service.resume(run_id, "ada"),
            lambda run_id=run_id: bench.service.cancel(run_id, "bob"),
        )
        assert all(isinstance(one, Conflict) for one in told if isinstance(one, BridgeError)), told
        assert bench.run(run_id)["state"] == "cancelled"
        bench.check_journal(run_id)


def test_beginning_and_cancel(bench: Workbench) -> None:
    keyed = {"concurrency": {"key": "${{ input.customer }}", "limit": 1}}
    first = bench.submit({"key": "a", **TASK}, **keyed)
    for _ in range(ROUNDS):
        waits = bench.submit(*({"key": f"s{n}", **TASK} for n in range(20)), **keyed)
        assert bench.run(waits)["state"] == "pending"
        told = bench.race(
            lambda first=first: bench.service.cancel(first, "ada"),
            lambda waits=waits: bench.service.cancel(waits, "bob"),
        )
        assert [one["state"] for one in told] == ["cancelled", "cancelled"], told
        assert set(bench.steps(waits).values()) == {"cancelled"}
        bench.check_journal(waits)
        first = bench.submit({"key": "a", **TASK}, **keyed)
        assert bench.run(first)["state"] == "running"


def test_two_retries_of_one_key(bench: Workbench) -> None:
    keyed = {"concurrency": {"key": "${{ input.customer }}", "limit": 1}}
    for _ in range(ROUNDS // 2):
        both = [bench.submit({"key": "a", **TASK}, **keyed) for _ in range(2)]
        for run_id in both:
            bench.service.cancel(run_id, "ada")
        told = bench.race(*(lambda run_id=run_id: bench.service.retry(run_id, "ada") for run_id in both))
        assert sorted(one["state"] for one in told) == ["pending", "running"]
        assert {one["workflow_id"]: one["state"] for one in told} == {id: bench.run(id)["state"] for id in both}
        [waits] = [one["workflow_id"] for one in told if one["state"] == "pending"]
        [goes] = set(both) - {waits}
        bench.service.cancel(goes, "ada")
        assert bench.run(waits)["state"] == "running"
        bench.claim(waits, 0)
        bench.service.cancel(waits, "ada")
        for run_id in both:
            bench.check_journal(run_id)


def test_a_run_that_was_paused_before_it_began_takes_nobodys_place(bench: Workbench) -> None:
    keyed = {"concurrency": {"key": "${{ input.customer }}", "limit": 1}}
    first, second, third = (bench.submit({"key": "a", **TASK}, **keyed) for _ in range(3))
    bench.service.pause(second, "ada")
    assert bench.service.resume(second, "ada")["state"] == "pending"
    bench.service.pause(second, "ada")
    bench.service.cancel(first, "ada")
    assert bench.run(third)["state"] == "running", "the paused one does not hold the key"
    bench.service.cancel(third, "ada")
    assert bench.service.resume(second, "ada")["state"] == "running"
    bench.claim(second, 0)
    bench.check_journal(second)


def test_pause_and_completion(bench: Workbench) -> None:
    seen: Counter[str] = Counter()
    for _ in range(ROUNDS):
        run_id = bench.submit({"key": "a", **TASK})
        token = bench.claim(run_id, 0)
        completed, paused = bench.race(
            lambda run_id=run_id, token=token: bench.complete(run_id, 0, token),
            lambda run_id=run_id: bench.service.pause(run_id, "ada"),
        )
        assert completed == "done"
        assert isinstance(paused, dict | Conflict), paused
        state = bench.run(run_id)["state"]
        assert state == ("succeeded" if isinstance(paused, Conflict) else "paused")
        assert bench.steps(run_id) == {"a": "succeeded"}
        if state == "paused":
            bench.service.resume(run_id, "ada")
            assert bench.run(run_id)["state"] == "succeeded", "it has nothing more to do"
        bench.check_journal(run_id)
        seen[state] += 1
    assert seen.keys() == {"succeeded", "paused"}


def test_the_last_two_parents_end_at_once(bench: Workbench) -> None:
    join = {"key": "end", "needs": ["a", "b"], **TASK}
    for _ in range(ROUNDS):
        run_id = bench.submit({"key": "a", **TASK}, {"key": "b", **TASK}, join)
        tokens = [bench.claim(run_id, place) for place in (0, 1)]
        told = bench.race(
            *(lambda run_id=run_id, p=p, t=t: bench.complete(run_id, p, t) for p, t in enumerate(tokens))
        )
        assert told == ["done", "done"]
        assert bench.steps(run_id)["end"] == "ready"
        bench.check_journal(run_id)
        bench.service.cancel(run_id, "ada")


def test_two_decisions_at_once(bench: Workbench) -> None:
    seen: Counter[bool] = Counter()
    for number in range(ROUNDS):
        run_id = bench.submit({"key": "ok", "kind": "approve"}, LINE[0])
        token = bench.claim(run_id, 0)
        bench.writer.end(bench.context(run_id), Claimed(0, 1), token, Waits("decision"))
        second = number % 2 == 0  # approved twice, or approved and rejected
        told = bench.race(
            lambda run_id=run_id: bench.service.decide(run_id, "ok", True, "ada"),
            lambda run_id=run_id, second=second: bench.service.decide(run_id, "ok", second, "bob"),
        )
        [won] = [one for one in told if not isinstance(one, BridgeError)]
        [lost] = [one for one in told if isinstance(one, BridgeError)]
        assert isinstance(lost, Conflict), lost
        assert bench.steps(run_id)["ok"] == ("succeeded" if won["approved"] else "failed")
        [row] = bench.rows("SELECT output, error FROM steps WHERE run_id = %(id)s AND key = 'ok'", id=run_id)
        assert won["by"] in str(row)
        bench.check_journal(run_id)
        seen[won["by"] == "ada"] += 1
    assert seen.keys() == {True, False}


@pytest.mark.parametrize("on_timeout", ["fail", "continue"])
def test_a_signal_and_the_end_of_the_wait_for_it(bench: Workbench, on_timeout: str) -> None:
    seen: Counter[str] = Counter()
    for _ in range(ROUNDS):
        run_id = bench.submit({**WAIT, "with": {**WAIT["with"], "on_timeout": on_timeout}}, LINE[0])
        token, context = bench.claim(run_id, 0), bench.context(run_id)
        bench.writer.end(context, Claimed(0, 1), token, Waits("signal", 0.0, "go"))
        clock = Clock(bench.runtime, bench.following)
        _, signalled = bench.race(
            lambda clock=clock: [clock.tick()],
            lambda run_id=run_id: bench.service.signal(run_id, "go", {"n": 1}, "shop"),
        )
        [row] = bench.rows("SELECT state, output FROM steps WHERE run_id = %(id)s AND key = 'w'", id=run_id)
        taken = bench.rows("SELECT taken_by FROM signals WHERE run_id = %(id)s", id=run_id)
        if row["output"] == {"n": 1}:
            assert (row["state"], taken) == ("succeeded", [{"taken_by": 0}])
        elif on_timeout == "continue":
            # It is kept for the next step that waits for it.
            assert (row, taken) == ({"state": "succeeded", "output": None}, [{"taken_by": None}])
        else:
            assert row == {"state": "timed_out", "output": None}
            assert bench.run(run_id)["state"] == "failed"
            # It came too late, and whoever sent it was told so; or it was stored just before.
            assert isinstance(signalled, Conflict) == (taken == [])
            assert all(each["taken_by"] is None for each in taken)
        bench.check_journal(run_id)
        seen[str(row["output"])] += 1
    assert len(seen) == 2, seen


def test_a_signal_and_the_beginning_of_the_wait_for_it(bench: Workbench) -> None:
    for _ in range(ROUNDS):
        run_id = bench.submit(WAIT, LINE[0])
        token, context = bench.claim(run_id, 0), bench.context(run_id)

        def wait(context: RunContext = context, token: UUID = token) -> str:
            bench.writer.end(context, Claimed(0, 1), token, Waits("signal", 3600.0, "go"))
            return "waits"

        told = bench.race(wait, lambda run_id=run_id: bench.service.signal(run_id, "go", {"n": 1}, "shop"))
        assert not any(isinstance(one, BridgeError) for one in told), told
        # Nobody needs to look again: it was there, or it came.
        assert bench.steps(run_id)["w"] == "succeeded"
        assert bench.rows("SELECT taken_by FROM signals WHERE run_id = %(id)s", id=run_id) == [{"taken_by": 0}]
        bench.check_journal(run_id)


def test_the_end_of_a_child_and_the_cancel_of_its_parent(bench: Workbench) -> None:
    definitions.put(bench.db, parse_definition({"name": "child", "steps": [{"key": "a", **TASK}]}))
    seen: Counter[str] = Counter()
    for _ in range(ROUNDS):
        run_id = bench.submit({"key": "c", "kind": "workflow", "with": {"name": "child"}})
        context, token = bench.context(run_id), bench.claim(run_id, 0)
        bench.writer.end(context, Claimed(0, 1), token, Waits("run", child=Child("child", None, {})))
        [row] = bench.rows("SELECT child_run_id AS id FROM steps WHERE run_id = %(id)s", id=run_id)
        held = bench.claim(row["id"], 0)
        _, cancelled = bench.race(
            lambda child_id=row["id"], held=held: bench.complete(child_id, 0, held),
            lambda run_id=run_id: bench.service.cancel(run_id, "ada"),
        )
        won = not isinstance(cancelled, BridgeError)
        assert won or isinstance(cancelled, Conflict), cancelled
        assert bench.run(run_id)["state"] == ("cancelled" if won else "succeeded")
        assert bench.run(row["id"])["state"] in ("succeeded", "cancelled")
        for each in (run_id, row["id"]):
            bench.check_journal(each)
        seen[bench.run(run_id)["state"]] += 1
    assert seen.keys() == {"succeeded", "cancelled"}


def test_a_run_that_is_undone_waits_for_no_place_of_its_key_and_takes_one(bench: Workbench) -> None:
    keyed = {"concurrency": {"key": "${{ input.customer }}", "limit": 1}}
    undo = {"compensate": {"kind": "task", "with": {"task": "test.echo"}}}
    done = undo["compensate"]
    first, second, third = (bench.submit({"key": "a", **done, **undo}, **keyed) for _ in range(3))
    bench.work(first)
    assert bench.run(first)["state"] == "succeeded"
    assert bench.run(second)["state"] == "running"
    assert bench.service.compensate(first, "ada")["state"] == "compensating", "it waits for nobody"
    bench.work(second)
    assert bench.run(second)["state"] == "succeeded"
    assert bench.run(third)["state"] == "pending", "the one that is undone has the place"
    bench.work(first)
    assert bench.run(first)["state"] == "compensated"
    assert bench.run(third)["state"] == "running"


@pytest.mark.parametrize("on_failure", ["fail_fast", "compensate"])
@pytest.mark.parametrize("late", [False, True])
def test_a_child_falls_with_its_step_however_its_parent_goes_on(
    bench: Workbench, on_failure: str, late: bool
) -> None:
    definitions.put(bench.db, parse_definition({"name": "child", "steps": [{"key": "a", **TASK}]}))
    undo = {"compensate": {"kind": "task", "with": {"task": "demo.fib"}}}
    call = {"key": "c", "kind": "workflow", "with": {"name": "child"}}
    run_id = bench.submit({"key": "a", **TASK, **undo}, {"key": "b", **TASK}, call, on_failure=on_failure)
    context = bench.context(run_id)

    def begin_child() -> UUID:
        wait = Waits("run", child=Child("child", None, {}))
        bench.writer.end(context, Claimed(2, 1), bench.claim(run_id, 2), wait)
        return bench.rows("SELECT child_run_id AS id FROM steps WHERE run_id = %(id)s AND place = 2", id=run_id)[0][
            "id"
        ]

    child_id = begin_child()
    bench.complete(run_id, 0, bench.claim(run_id, 0))
    after = bench.writer.end(context, Claimed(1, 9), bench.claim(run_id, 1), Failed(StepError("no")))
    new = None
    if on_failure == "fail_fast":
        # Somebody has it tried again before its worker follows up on its end.
        bench.service.retry(run_id, "ada")
        new = begin_child()
    if not late:
        bench.following.follow(context, after, 1)
    else:
        Clock(bench.runtime, bench.following).tick()
    assert bench.run(child_id)["state"] == "cancelled"
    assert new is None or bench.run(new)["state"] == "running"


def test_a_child_that_is_tried_again_by_itself_goes_on_by_itself(bench: Workbench) -> None:
    definitions.put(bench.db, parse_definition({"name": "child", "steps": [{"key": "a", **TASK}]}))
    run_id = bench.submit({"key": "c", "kind": "workflow", "with": {"name": "child"}, "retry": {"max_attempts": 1}})
    wait = Waits("run", child=Child("child", None, {}))
    bench.writer.end(bench.context(run_id), Claimed(0, 1), bench.claim(run_id, 0), wait)
    [row] = bench.rows("SELECT child_run_id AS id FROM steps WHERE run_id = %(id)s", id=run_id)
    bench.service.cancel(row["id"], "ada")
    assert bench.run(run_id)["state"] == "failed"
    bench.service.retry(row["id"], "ada")
    Clock(bench.runtime, bench.following).tick()
    bench.complete(row["id"], 0, bench.claim(row["id"], 0))
    assert bench.run(row["id"])["state"] == "succeeded"
    assert bench.run(run_id)["state"] == "failed"


def test_what_is_undone_again_goes_on_with_the_versions_of_its_history(bench: Workbench) -> None:
    undo = {"compensate": {"kind": "task", "with": {"task": "demo.fib"}}}
    run_id = bench.submit({**LINE[0], **undo}, on_failure="compensate")
    bench.complete(run_id, 0, bench.claim(run_id, 0))
    for _ in range(2):
        bench.service.compensate(run_id, "ada")
        with bench.db.transaction() as tx:
            context = Contexts(None).of(tx, run_id, undoing=True)
        bench.writer.end(context, Claimed(1, 9), bench.claim(run_id, 1), Failed(StepError("no")))
        assert bench.run(run_id)["state"] == "failed"
    sql = "SELECT version FROM journal WHERE aggregate_id LIKE %(id)s || '/undo:%%' ORDER BY id"
    versions = [row["version"] for row in bench.rows(sql, id=str(run_id))]
    assert versions == list(range(2, 6))


@pytest.mark.parametrize("how", ["submitted", "resumed", "retried"])
def test_whoever_waits_for_a_key_is_begun_though_nobody_was_told_of_its_end(bench: Workbench, how: str) -> None:
    keyed = {"concurrency": {"key": "${{ input.customer }}", "limit": 1}}
    first, second = (bench.submit({"key": "a", **TASK}, **keyed) for _ in range(2))
    match how:
        case "resumed":
            bench.service.pause(second, "ada")
            bench.service.resume(second, "ada")
        case "retried":
            bench.service.cancel(second, "ada")
            bench.service.retry(second, "ada")
    assert bench.run(second)["state"] == "pending"
    # Its worker dies between its end and what follows.
    deaf = WorkflowService(bench.db, bench.runtime.settings, lambda _run_ids: None)
    deaf.cancel(first, "ada")
    [row] = bench.rows("SELECT due_at - now() < interval '20 seconds' AS soon FROM runs WHERE id = %(id)s", id=second)
    assert row["soon"], "the clock does not look at it before its deadline"
    bench.rows("UPDATE runs SET due_at = now() WHERE id = %(id)s RETURNING 1", id=second)
    Clock(bench.runtime, bench.following).tick()
    assert bench.run(second)["state"] == "running"


def test_of_those_that_wait_for_a_key_the_most_urgent_is_begun_whoever_is_looked_at(bench: Workbench) -> None:
    keyed = {"concurrency": {"key": "${{ input.customer }}", "limit": 1}}
    first = bench.submit({"key": "a", **TASK}, **keyed)
    patient = bench.submit({"key": "a", **TASK}, **keyed)
    urgent = bench.submit({"key": "a", **TASK}, **keyed, priority=9)
    WorkflowService(bench.db, bench.runtime.settings, lambda _run_ids: None).cancel(first, "ada")
    for _ in range(2):
        bench.following.attend(patient)
        assert [bench.run(each)["state"] for each in (patient, urgent)] == ["pending", "running"]


def test_a_step_that_ten_thousand_wait_for_ends_in_a_moment(bench: Workbench) -> None:
    below = [{"key": f"s{n}", "needs": ["a"], **TASK} for n in range(9_999)]
    run_id, passed = (bench.submit({"key": "a", **TASK}, *below) for _ in range(2))
    assert bench.complete(run_id, 0, bench.claim(run_id, 0)) == "done"
    assert Counter(bench.steps(run_id).values()) == {"succeeded": 1, "ready": 9_999}
    bench.service.cancel(run_id, "ada")
    assert bench.service.retry(run_id, "ada")["steps"] == 9_999
    assert Counter(bench.steps(run_id).values()) == {"succeeded": 1, "ready": 9_999}
    bench.writer.end(bench.context(passed), Claimed(0, 1), bench.claim(passed, 0), Skipped())
    assert Counter(bench.steps(passed).values()) == {"skipped": 10_000}
