"""Acts that come at once, from connections of their own: one of them wins, whole, and the other is told so."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from celery import Celery

from tasks.db.pool import Database
from tasks.errors import BridgeError, Conflict
from tasks.ids import new_id
from tasks.queue.app import create_celery
from tasks.settings import Settings
from tasks.workflows import definitions
from tasks.workflows.attempt import StepError
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.service import WorkflowService
from tasks.workflows.states import RUN, STEP
from tasks.workflows.store import steps
from tasks.workflows.store.steps import Claimed, Done, LeaseLost
from tasks.workflows.submitting import Submission
from tasks.workflows.work.canvas import Sender
from tasks.workflows.work.clock import Clock
from tasks.workflows.work.contexts import Contexts, RunContext
from tasks.workflows.work.following import Following
from tasks.workflows.work.outcomes import Child, Failed, Waits
from tasks.workflows.work.writing import Writer

pytestmark = pytest.mark.timeout(120)

ROUNDS = 30
MOST_APART_S = 0.006
TASK = {"kind": "task", "with": {"task": "demo.fib"}}
LINE = [{"key": "a", **TASK}, {"key": "b", "needs": ["a"], **TASK}]
WAIT = {"key": "w", "kind": "wait", "with": {"signal": "go", "timeout_s": 3600}}


class Bench:
    """A service and a worker's parts on one database, without a worker: the test says what happens when."""

    def __init__(self, app: Celery) -> None:
        self.runtime = app.bridge
        self.db: Database = app.bridge.db
        self.following = Following(app.bridge, Sender(app), lambda: None)
        self.service = WorkflowService(self.db, app.bridge.settings, self._attend)
        self.writer = Writer(app.bridge)
        self.random = random.Random(4)
        self.races = 0

    def _attend(self, run_ids: Sequence[UUID]) -> None:
        for run_id in run_ids:
            self.following.attend(run_id)

    def submit(self, *definition_steps: dict[str, Any], **more: Any) -> UUID:
        made = parse_definition({"name": "raced", "steps": list(definition_steps), **more})
        return self.service.submit(Submission(definition=made, input={"customer": "ada"})).run_id

    def context(self, run_id: UUID) -> RunContext:
        with self.db.transaction() as tx:
            return Contexts(None).of(tx, run_id)

    def claim(self, run_id: UUID, *places: int, limited: bool = False) -> UUID:
        """Holds these steps; the token."""
        token = new_id()
        with self.db.transaction() as tx:
            claimed = steps.claim(tx, run_id, places, token, 60.0, limited=limited)
        assert [one.place for one in claimed] == list(places)
        return token

    def complete(self, run_id: UUID, place: int, token: UUID) -> str:
        """As a worker ends a step that succeeded, with what follows."""
        context = self.context(run_id)
        try:
            after = self.writer.complete(context, [Done(place, b"1")], token, new_id())
        except LeaseLost:
            return "lost"
        self.following.follow(context, after, place)
        return "done"

    def race(self, *acts: Callable[[], Any]) -> list[Any]:
        """Does these at once, a few milliseconds apart at most; what each returned, or the error that it was told.

        Now and then one after the other, from either end, so that every outcome is seen.
        """
        self.races += 1
        found: list[Any] = [None] * len(acts)

        def act(number: int, delay_s: float = 0.0) -> None:
            time.sleep(delay_s)
            try:
                found[number] = acts[number]()
            except BridgeError as problem:
                found[number] = problem

        numbers = list(range(len(acts)))
        if self.races % 8 < 2:
            for number in numbers if self.races % 8 else reversed(numbers):
                act(number)
        else:
            delays = [self.random.uniform(0, MOST_APART_S) for _ in acts]
            threads = [threading.Thread(target=act, args=each, daemon=True) for each in enumerate(delays)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
        assert None not in found, "an act did not come to its end"
        return found

    def run(self, run_id: UUID) -> dict[str, Any]:
        return self.rows("SELECT * FROM runs WHERE id = %(id)s", id=run_id)[0]

    def steps(self, run_id: UUID) -> dict[str, str]:
        rows = self.rows("SELECT key, state FROM steps WHERE run_id = %(id)s ORDER BY place", id=run_id)
        return {row["key"]: row["state"] for row in rows}

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        with self.db.transaction() as tx:
            return tx.all(sql, parameters)

    def check_journal(self, run_id: UUID) -> None:
        """Versions without a gap or a double, each change allowed by the charts, the last one what the row says."""
        told = self.rows(
            "SELECT aggregate_type AS type, aggregate_id AS id, version, payload FROM journal"
            " WHERE aggregate_id = %(run)s OR aggregate_id LIKE %(run)s || '/%%' ORDER BY aggregate_id, version",
            run=str(run_id),
        )
        states = {f"{run_id}/{key}": state for key, state in self.steps(run_id).items()}
        states[str(run_id)] = self.run(run_id)["state"]
        for aggregate, state in states.items():
            history = [row for row in told if row["id"] == aggregate]
            chart = RUN if aggregate == str(run_id) else STEP
            versions = [row["version"] for row in history]
            assert versions == list(range(versions[0], versions[0] + len(versions))) if versions else True, aggregate
            for row in history:
                payload = row["payload"]
                if "from" in payload:
                    assert chart.allows(payload["from"], payload["state"]), payload
            if history:
                assert history[-1]["payload"]["state"] == state, aggregate
            ends = [row for row in history if row["payload"]["state"] in chart.terminal]
            reopened = sum(row["payload"].get("reason") in ("retry", "retry of the run") for row in history)
            assert len(ends) <= 1 + reopened, history


@pytest.fixture
def bench(settings: Settings) -> Iterator[Bench]:
    made = create_celery(dataclasses.replace(settings, db_pool_size=12), role="test")
    yield Bench(made)
    made.bridge.close()


def test_cancel_and_the_last_completion(bench: Bench) -> None:
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


def test_cancel_and_a_failed_attempt(bench: Bench) -> None:
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


def test_cancel_and_retry(bench: Bench) -> None:
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


def test_two_retries_and_a_compensation(bench: Bench) -> None:
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
def test_pause_and_its_rivals(bench: Bench, rival: str) -> None:
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


def test_resume_and_cancel(bench: Bench) -> None:
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


def test_beginning_and_cancel(bench: Bench) -> None:
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


def test_two_retries_of_one_key(bench: Bench) -> None:
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


def test_a_run_that_was_paused_before_it_began_takes_nobodys_place(bench: Bench) -> None:
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


def test_pause_and_completion(bench: Bench) -> None:
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


def test_the_last_two_parents_end_at_once(bench: Bench) -> None:
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


def test_two_decisions_at_once(bench: Bench) -> None:
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
def test_a_signal_and_the_end_of_the_wait_for_it(bench: Bench, on_timeout: str) -> None:
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


def test_a_signal_and_the_beginning_of_the_wait_for_it(bench: Bench) -> None:
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


def test_the_end_of_a_child_and_the_cancel_of_its_parent(bench: Bench) -> None:
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
