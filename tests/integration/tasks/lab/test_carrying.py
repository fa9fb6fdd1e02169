"""Carried questions and comparisons on real workers: killed ones, slow models, lost chords."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tasks.db.pool import Database
from tasks.errors import IdempotencyMismatch, NotFound, ValidationFailed
from tasks.ids import new_id
from tasks.lab import requests
from tasks.lab.asking import AskRequest, ScorerSpec
from tasks.lab.carrying import CarriedQuestions
from tasks.lab.jobs import carried_by
from tasks.lab.service import lab_of
from tasks.queue.app import BridgeCelery, create_celery
from tasks.runtime import Runtime, runtime_of
from tasks.settings import Settings
from tasks.workflows.definition.model import Expectation
from tests.integration.conftest import CeleryProcess, CeleryProcesses, wait_until
from tests.integration.tasks.lab.conftest import Add
from tests.lab_server import Behaviour, Gate, LabServer

Executions = Callable[[], list[dict[str, Any]]]
QUICK = {"LAB_REQUEST_LEASE_S": "1.5", "LAB_ATTEMPT_LEASE_S": "1.5", "LAB_SLOT_LEASE_S": "1.5", "HINT_GRACE_S": "0.2"}


@pytest.fixture
def quick(settings: Settings) -> Settings:
    leases = {"lab_request_lease_s": 1.5, "lab_attempt_lease_s": 1.5, "lab_slot_lease_s": 1.5}
    return dataclasses.replace(settings, hint_grace_s=0.2, **leases)


@pytest.fixture
def app(quick: Settings) -> Iterator[BridgeCelery]:
    made = create_celery(quick, "test")
    yield made
    runtime_of(made).close()
    made.close()


@pytest.fixture
def runtime(app: BridgeCelery) -> Runtime:
    return runtime_of(app)


@pytest.fixture
def carried(app: BridgeCelery) -> CarriedQuestions:
    return carried_by(app)


@pytest.fixture
def worker(celery_processes: CeleryProcesses) -> Callable[..., CeleryProcess]:
    """Starts a worker of the lab, of threads as the stack has it."""

    def start() -> CeleryProcess:
        return celery_processes.worker("lab", pool="threads", concurrency=8, **QUICK)

    return start


def ended(carried: CarriedQuestions, request_id: Any) -> Any:
    row = carried.get(request_id)
    return row if row["state"] in ("succeeded", "failed") else None


def concluded(carried: CarriedQuestions, comparison_id: Any) -> Any:
    row = carried.get_comparison(comparison_id)
    return row if row["state"] != "running" else None


def test_a_question_is_carried_to_its_answer(
    carried: CarriedQuestions, lab_server: LabServer, add: Add, executions: Executions, db: Database
) -> None:
    lab_server.behave("m", Behaviour(('{"a"', ": 1}")))
    add(lab_server, "one")
    asked = AskRequest(
        "hi",
        json=True,
        temperature=0.0,
        expect=Expectation(required=("a",), schema={"type": "object"}),
        scorers=(ScorerSpec("length", {"least": 3}),),
    )
    request_id = carried.submit(asked, 20, "key-1")
    assert carried.submit(asked, 20, "key-1") == request_id
    with pytest.raises(IdempotencyMismatch):
        carried.submit(dataclasses.replace(asked, prompt="ho"), 20, "key-1")
    assert carried.get(request_id)["state"] == "pending"
    assert carried.carry(request_id)
    assert not carried.carry(request_id)
    row = carried.get(request_id)
    assert (row["state"], row["attempt"], row["answer"]["value"]) == ("succeeded", 1, {"a": 1})
    [execution] = executions()
    assert row["answer"]["attempts"][0]["execution_id"] == execution["execution_id"]
    assert execution["metadata"] == {"request_id": str(request_id)}
    assert lab_server.seen[0]["temperature"] == 0.0
    with db.transaction() as tx:
        told = tx.all("SELECT payload FROM journal WHERE event_type = 'lab-request-changed' ORDER BY id")
    assert [row["payload"]["state"] for row in told] == ["pending", "running", "succeeded"]
    with pytest.raises(NotFound):
        carried.get(new_id())


def test_attempts_of_workers_are_in_the_rollups_without_the_sweeper(
    carried: CarriedQuestions,
    lab_server: LabServer,
    add: Add,
    celery_processes: CeleryProcesses,
    db: Database,
) -> None:
    lab_server.behave("m")
    add(lab_server, "one")
    # No beat runs, so nobody sweeps.
    celery_processes.worker("lab", pool="threads", concurrency=2, wait=False, **QUICK)
    celery_processes.worker("metrics", concurrency=1)
    request_id = carried.submit(AskRequest("hi"), 20)
    wait_until(lambda: ended(carried, request_id))

    def counted() -> int:
        with db.transaction() as tx:
            row = tx.one("SELECT sum(executions) AS count FROM model_rollups WHERE grain = 'minute'")
        return int((row and row["count"]) or 0)

    wait_until(lambda: counted() == 1, what="the attempt in the rollups")


def test_a_question_that_nobody_can_answer_fails_with_the_reason(
    carried: CarriedQuestions, lab_server: LabServer, add: Add
) -> None:
    lab_server.behave("m", Behaviour(status=400))
    add(lab_server, "one")
    request_id = carried.submit(AskRequest("hi"), 20)
    carried.carry(request_id)
    row = carried.get(request_id)
    assert (row["state"], row["error_code"], len(row["errors"])) == ("failed", "LAB_3", 1)


def test_a_killed_workers_question_goes_on_elsewhere_and_its_slot_is_freed(
    carried: CarriedQuestions,
    lab_server: LabServer,
    add: Add,
    worker: Callable[..., CeleryProcess],
    executions: Executions,
    runtime: Runtime,
) -> None:
    gate = Gate()
    lab_server.behave("m", Behaviour(gate=gate))
    add(lab_server, "one", max_concurrency=1)
    first = worker()
    request_id = carried.submit(AskRequest("hi"), 60)
    wait_until(lambda: gate.inside == 1)
    os.killpg(first.pid, signal.SIGKILL)
    gate.opened.set()
    second = worker()

    def swept() -> Any:
        carried.sweep()
        return ended(carried, request_id)

    row = wait_until(swept, 30)
    assert (row["state"], row["attempt"]) == ("succeeded", 2)
    wait_until(lambda: lab_of(runtime).sweep() == 1, what="the record of the attempt that died with its worker")
    assert sorted(str(r["error_type"]) for r in executions()) == ["None", "abandoned"]
    second.stop()


def test_a_worker_that_shuts_down_gives_its_question_back_at_once(
    carried: CarriedQuestions,
    lab_server: LabServer,
    add: Add,
    worker: Callable[..., CeleryProcess],
    executions: Executions,
) -> None:
    gate = Gate()
    lab_server.behave("m", Behaviour(gate=gate))
    add(lab_server, "one")
    first = worker()
    request_id = carried.submit(AskRequest("hi"), 60)
    wait_until(lambda: gate.inside == 1)
    first.stop()
    row = carried.get(request_id)
    assert (row["state"], row["attempt"]) == ("pending", 0)
    assert [execution["error_type"] for execution in executions()] == ["cancelled"]
    gate.opened.set()
    carried.sweep()
    assert carried.carry(request_id)
    assert carried.get(request_id)["state"] == "succeeded"


def test_a_question_that_kills_every_worker_is_given_up(
    carried: CarriedQuestions, runtime: Runtime, executions: Executions, lab_server: LabServer, add: Add
) -> None:
    add(lab_server, "one")
    request_id = carried.submit(AskRequest("hi"), 60)
    for attempt in range(3):
        with runtime.db.transaction() as tx:
            assert requests.claim(tx, request_id, new_id(), 0.01, 3) is not None, attempt
        wait_until(lambda: not _is_leased(runtime, request_id))
    carried.sweep()
    row = carried.get(request_id)
    assert (row["state"], row["error_code"], row["attempt"]) == ("failed", "LAB_5", 3)
    assert not carried.carry(request_id)


def _is_leased(runtime: Runtime, request_id: Any) -> bool:
    with runtime.db.transaction() as tx:
        row = tx.one("SELECT lease_until > clock_timestamp() AS held FROM lab_requests WHERE id = %(id)s", {"id": request_id})  # fmt: skip  # noqa: E501
    return bool(row and row["held"])


def test_a_comparison_is_a_chord_whose_answer_holds_every_model(
    carried: CarriedQuestions, lab_server: LabServer, add: Add, worker: Callable[..., CeleryProcess]
) -> None:
    lab_server.behave("a", Behaviour(("the cat",)))
    lab_server.behave("b", Behaviour(("a dog",), first_delay_s=0.2))
    lab_server.behave("c", Behaviour(status=400))
    add(lab_server, "one")
    worker()
    scorers = (ScorerSpec("keywords", {"words": ["dog"]}),)
    comparison_id = carried.compare(AskRequest("hi", scorers=scorers), ["a", "b", "c"], 30)
    # Nobody sweeps here: it is the chord's body that concludes.
    row = wait_until(lambda: concluded(carried, comparison_id), 20)
    assert (row["state"], row["best"]) == ("partial", "b")
    assert [one["state"] for one in row["results"]] == ["succeeded", "succeeded", "failed"]
    assert row["results"][1]["answer"]["text"] == "a dog"
    assert row["results"][2]["error_code"] == "LAB_3"


def test_a_slow_model_does_not_hold_up_the_answer_beyond_the_deadline(
    carried: CarriedQuestions, lab_server: LabServer, add: Add, executions: Executions
) -> None:
    lab_server.behave("a")
    lab_server.behave("b")
    add(lab_server, "one")
    comparison_id = carried.compare(AskRequest("hi"), ["a", "b"], 1.0)
    first, _ = carried.members_to_ask(comparison_id)
    assert carried.conclude(comparison_id) is None
    assert carried.carry(first)
    # The worker of the second was lost, and so was the chord.
    row = wait_until(lambda: carried.sweep() or concluded(carried, comparison_id), 20)  # type: ignore[func-returns-value]
    assert row["state"] == "partial"
    assert [one["state"] for one in row["results"]] == ["succeeded", "failed"]
    assert row["results"][1]["error_code"] == "LAB_4"
    assert carried.members_to_ask(comparison_id) == []


def test_a_lost_message_is_made_good_by_the_sweeper(
    app: BridgeCelery,
    carried: CarriedQuestions,
    lab_server: LabServer,
    add: Add,
    worker: Callable[..., CeleryProcess],
    redis_url: str,
) -> None:
    lab_server.behave("a")
    lab_server.behave("b")
    add(lab_server, "one")
    comparison_id = carried.compare(AskRequest("hi"), ["a", "b"], 60)
    request_id = carried.submit(AskRequest("hi"), 60)
    redis.Redis.from_url(redis_url).flushall()
    worker()

    def swept() -> Any:
        carried.sweep()
        return ended(carried, request_id) and concluded(carried, comparison_id)

    assert wait_until(swept, 30)["state"] == "succeeded"


def test_what_can_not_be_compared(carried: CarriedQuestions) -> None:
    for models in (["a"], ["a", "a"], [str(number) for number in range(21)]):
        with pytest.raises(ValidationFailed):
            carried.compare(AskRequest("hi"), models, 5)


def test_retention_deletes_what_ended_long_ago(carried: CarriedQuestions, db: Database) -> None:
    kept = carried.submit(AskRequest("hi"), 5)
    old = carried.submit(AskRequest("hi"), 5)
    compared = carried.compare(AskRequest("hi"), ["a", "b"], 0.01)
    wait_until(lambda: carried.conclude(compared))
    with db.transaction() as tx:
        tx.execute("UPDATE lab_comparisons SET finished_at = now() - interval '31 days'")
        tx.execute(
            "UPDATE lab_requests SET state = 'failed', error = 'x', finished_at = now() - interval '31 days'"
            " WHERE id = %(id)s",
            {"id": old},
        )
    carried.delete_old()
    assert carried.get(kept)["state"] == "pending"
    for gone in (lambda: carried.get(old), lambda: carried.get_comparison(compared)):
        with pytest.raises(NotFound):
            gone()
