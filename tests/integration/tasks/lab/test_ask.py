"""Questions to the lab: who is asked, who next, and what is recorded of it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.errors import ValidationFailed
from tasks.lab.asking import AskRequest, ScorerSpec
from tasks.lab.attempting import Listener
from tasks.lab.errors import Cancelled, LabBusy, LabFailed, LabTimedOut, LabUnavailable
from tasks.lab.service import LabService, lab_of
from tasks.runtime import Runtime
from tasks.settings import Settings
from tasks.workflows.definition.model import Expectation
from tests.integration.conftest import wait_until
from tests.integration.tasks.lab.conftest import Add
from tests.lab_server import Behaviour, Gate, LabServer

Executions = Callable[[], list[dict[str, Any]]]


@pytest.fixture(params=["ollama", "openai"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_an_answer_and_its_record(
    lab: LabService, lab_server: LabServer, add: Add, executions: Executions, kind: str
) -> None:
    lab_server.behave("m1", Behaviour(("He", "llo"), first_delay_s=0.02))
    add(lab_server, "one", "medium", kind, provider="ours")
    answer = lab.ask(AskRequest("Say hello", task_type="documentation", metadata={"ticket": 7}), 10)
    assert (answer.text, answer.model, answer.endpoint, answer.tier) == ("Hello", "m1", "one", "medium")
    assert (answer.input_tokens, answer.output_tokens, answer.finish_reason) == (7, 2, "stop")
    assert answer.first_token_latency_ms is not None
    assert 20 <= answer.first_token_latency_ms <= answer.latency_ms <= answer.total_ms
    [attempt] = answer.attempts
    [row] = executions()
    assert row["execution_id"] == str(attempt.execution_id)
    assert (row["model"], row["provider"], row["endpoint"], row["model_tier"]) == ("m1", "ours", "one", "medium")
    assert (row["task_type"], row["input_tokens"], row["output_tokens"]) == ("documentation", 7, 2)
    assert (row["success"], row["retry_count"], row["metadata"]) == (True, 0, {"ticket": 7})
    assert float(row["first_token_latency_ms"]) == pytest.approx(answer.first_token_latency_ms, abs=0.01)


def test_a_failure_escalates_to_the_next_tier(
    lab: LabService, lab_server: LabServer, other_server: LabServer, add: Add, executions: Executions
) -> None:
    lab_server.behave("little", Behaviour(status=500))
    other_server.behave("great")
    other_server.behave("greatest")
    add(lab_server, "a", "small")
    add(other_server, "b", "large", model_tiers={"greatest": "huge"})
    answer = lab.ask(AskRequest("hi"), 10)
    assert (answer.model, answer.tier) == ("great", "large")
    failed, good = executions()
    assert (failed["success"], failed["error_type"], failed["escalated_to_tier"]) == (False, "server_error", "large")
    assert (good["success"], good["retry_count"], good["escalated_to_tier"]) == (True, 1, None)


@pytest.mark.parametrize(
    ("first", "error_type"),
    [
        (Behaviour(pieces=("not json",)), "invalid_json"),
        (Behaviour(pieces=('{"a": 1}',)), "expectation_missed"),
        (Behaviour(pieces=()), "empty_answer"),
        (Behaviour(hang_up_after=1), "hung_up"),
        (Behaviour(error_after=1), "model_error"),
        (Behaviour(status=429, headers={"Retry-After": "30"}), "rate_limited"),
    ],
)
def test_what_counts_as_a_failure(
    lab: LabService, lab_server: LabServer, add: Add, executions: Executions, first: Behaviour, error_type: str
) -> None:
    lab_server.behave("first", first)
    lab_server.behave("second", Behaviour(pieces=('```json\n{"b": ', "2}\n```")))
    add(lab_server, "a", "small", models=["first"])
    add(lab_server, "b", "large", models=["second"])
    answer = lab.ask(AskRequest("hi", json=True, expect=Expectation(required=("b",))), 10)
    assert answer.value == {"b": 2}
    assert [row["error_type"] for row in executions()] == [error_type, None]


def test_quality_below_the_least_escalates(
    lab: LabService, lab_server: LabServer, add: Add, executions: Executions
) -> None:
    lab_server.behave("bad", Behaviour(pieces=("nothing to see",)))
    lab_server.behave("good", Behaviour(pieces=("the cat sat on the mat",)))
    lab_server.behave("judge", Behaviour(pieces=("8", "/10")))
    add(lab_server, "a", "small", models=["bad"], max_concurrency=1)
    add(lab_server, "b", "large", models=["good", "judge"], model_tiers={"judge": "huge"}, max_concurrency=1)
    scorers = (ScorerSpec("keywords", {"words": ["cat", "mat"]}), ScorerSpec("judge", {"model": "judge"}, 1))
    answer = lab.ask(AskRequest("Tell of a cat", min_quality=0.6, scorers=scorers), 10)
    assert (answer.model, answer.quality_score) == ("good", pytest.approx(0.9))
    assert answer.scores == {"keywords": 1.0, "judge": 0.8}
    rows = {row["model"]: row for row in executions()}
    assert (rows["bad"]["error_type"], float(rows["bad"]["quality_score"])) == ("quality_too_low", 0.4)
    assert float(rows["good"]["quality_score"]) == 0.9
    assert [row["task_type"] for row in executions() if row["model"] == "judge"] == ["judging", "judging"]


def test_fallbacks_keep_to_what_they_say(lab: LabService, lab_server: LabServer, add: Add) -> None:
    lab_server.behave("m", Behaviour(status=500))
    lab_server.behave("same")
    lab_server.behave("above")
    add(lab_server, "a", "small", models=["m"])
    add(lab_server, "b", "small", models=["same"])
    add(lab_server, "c", "medium", models=["above"])
    assert lab.ask(AskRequest("hi", model="m", fallback="same_tier"), 10).model == "same"
    assert lab.ask(AskRequest("hi", model="m", fallback="next_tier"), 10).model == "above"
    with pytest.raises(LabFailed) as caught:
        lab.ask(AskRequest("hi", model="m"), 10)
    assert {attempt.model for attempt in caught.value.attempts} == {"m"}
    assert len(caught.value.attempts) == 2
    with pytest.raises(LabUnavailable, match="'no-such'"):
        lab.ask(AskRequest("hi", model="no-such"), 10)
    assert lab.ask(AskRequest("hi", tier="medium"), 10).model == "above"
    assert lab.ask(AskRequest("hi", tier="large"), 10).model == "above"


def test_attempts_are_capped(lab: LabService, lab_server: LabServer, add: Add, executions: Executions) -> None:
    for number in range(9):
        lab_server.behave(f"m{number}", Behaviour(status=400))
    add(lab_server, "a")
    with pytest.raises(LabFailed) as caught:
        lab.ask(AskRequest("hi", fallback="fastest"), 20)
    assert len(caught.value.attempts) == len(executions()) == 5
    assert [row["retry_count"] for row in executions()] == [0, 1, 2, 3, 4]
    assert len(caught.value.errors) == 5


def test_the_deadline_ends_it_and_the_attempt_is_recorded(
    lab: LabService, lab_server: LabServer, add: Add, executions: Executions
) -> None:
    lab_server.behave("m", Behaviour(first_delay_s=30))
    add(lab_server, "a")
    with pytest.raises(LabTimedOut):
        lab.ask(AskRequest("hi"), 0.4)
    [row] = executions()
    assert (row["error_type"], row["success"]) == ("timed_out", False)
    assert 350 < float(row["latency_ms"]) < 20_000


def test_a_passing_failure_of_the_only_model_is_tried_again(
    lab: LabService, lab_server: LabServer, add: Add, executions: Executions
) -> None:
    lab_server.behave("m", Behaviour(statuses=[500, 200]))
    add(lab_server, "a")
    assert lab.ask(AskRequest("hi"), 20).text == "Hello, world"
    assert [row["error_type"] for row in executions()] == ["server_error", None]
    lab_server.behave("m", Behaviour(statuses=[429, 200], headers={"Retry-After": "1"}))
    assert lab.ask(AskRequest("hi"), 20).text == "Hello, world"


def test_a_circuit_opens_lets_one_try_and_closes(runtime: Runtime, settings: Settings, lab_server: LabServer) -> None:
    quick = Runtime(dataclasses.replace(settings, lab_circuit_failures=2, lab_circuit_s=1.0), "test")
    lab = lab_of(quick)
    from tasks.lab.administration import new_endpoint

    gate = Gate()
    lab_server.behave("m", Behaviour(status=500))
    endpoint = new_endpoint({"name": "a", "kind": "openai", "url": lab_server.url, "tier": "small"})
    lab.endpoints.add(endpoint)
    with pytest.raises(LabFailed):
        lab.ask(AskRequest("hi"), 20)
    assert [row["circuit"] for row in lab.endpoints.list()] == ["open"]
    asked = len(lab_server.seen)
    with pytest.raises((LabUnavailable, LabBusy)):
        lab.ask(AskRequest("hi"), 0.3)
    assert len(lab_server.seen) == asked
    # Well again. Of many that wait one gets through, and only when it is back all the others do.
    lab_server.behave("m", Behaviour(gate=gate))
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(lab.ask(AskRequest("hi"), 30).text)) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: gate.inside == 1)
    assert [row["circuit"] for row in lab.endpoints.list()] == ["half_open"]
    assert gate.most == 1
    gate.opened.set()
    for thread in threads:
        thread.join(30)
    assert len(texts) == 4
    assert [row["circuit"] for row in lab.endpoints.list()] == ["closed"]
    with quick.db.transaction() as tx:
        told = tx.all("SELECT payload FROM journal WHERE event_type = 'lab-endpoint-changed' ORDER BY id")
    circuits = [row["payload"]["circuit"] for row in told if row["payload"]["change"] == "circuit"]
    assert circuits == ["open", "half_open", "closed"]
    quick.close()


def test_a_limit_holds_and_who_waits_too_long_is_told(lab: LabService, lab_server: LabServer, add: Add) -> None:
    gate = Gate()
    lab_server.behave("m", Behaviour(gate=gate))
    add(lab_server, "a", max_concurrency=2)
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(lab.ask(AskRequest("hi"), 30).text)) for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: gate.inside == 2)
    with pytest.raises(LabBusy):
        lab.ask(AskRequest("hi"), 0.5)
    assert [row["calls"] for row in lab.endpoints.list()] == [2]
    gate.opened.set()
    for thread in threads:
        thread.join(30)
    assert (len(texts), gate.most) == (6, 2)
    assert [row["calls"] for row in lab.endpoints.list()] == [0]


def test_a_busy_choice_gives_way_to_a_lesser_one_after_a_while(
    lab: LabService, lab_server: LabServer, add: Add
) -> None:
    gate = Gate()
    lab_server.behave("m", Behaviour(gate=gate))
    lab_server.behave("n")
    add(lab_server, "a", "small", max_concurrency=1, models=["m"])
    add(lab_server, "b", "large", models=["n"])
    holder = threading.Thread(target=lambda: lab.ask(AskRequest("hi"), 30))
    holder.start()
    wait_until(lambda: gate.inside == 1)
    assert lab.ask(AskRequest("hi"), 30).model == "n"
    gate.opened.set()
    holder.join(30)


def test_a_model_that_says_nothing_leaves_time_for_the_next(
    lab: LabService, lab_server: LabServer, add: Add, executions: Executions
) -> None:
    gate = Gate()
    lab_server.behave("hangs", Behaviour(gate=gate))
    lab_server.behave("answers")
    add(lab_server, "a", "small", model_tiers={"answers": "large"})
    assert lab.ask(AskRequest("hi", tier="small"), 3).model == "answers"
    assert [row["error_type"] for row in executions()] == ["too_slow", None]
    # Less time than it may take tells nothing against the endpoint.
    assert lab.endpoints.list()[0]["failures"] == 0
    # Where nobody else may be asked it has all the time there is.
    with pytest.raises(LabTimedOut):
        lab.ask(AskRequest("hi", model="hangs"), 0.5)
    gate.opened.set()


def test_a_listener_hears_the_text_and_may_cancel(
    lab: LabService, lab_server: LabServer, add: Add, executions: Executions
) -> None:
    lab_server.behave("m", Behaviour(("a", "b", "c")))
    add(lab_server, "a")
    heard: list[str] = []
    began: list[str] = []
    lab.ask(AskRequest("hi"), 10, Listener(began=lambda one: began.append(one.candidate.model), text=heard.append))
    assert (began, heard) == (["m"], ["a", "b", "c"])

    def cancel(_text: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        lab.ask(AskRequest("hi"), 10, Listener(text=cancel))
    assert [row["error_type"] for row in executions()] == [None, "cancelled"]


def test_what_can_not_be_asked(lab: LabService) -> None:
    with pytest.raises(ValidationFailed) as caught:
        lab.ask(AskRequest(" ", tier="gigantic", fallback="luck"), 0)
    assert {error.pointer for error in caught.value.errors} == {"/prompt", "/tier", "/fallback", "/timeout_s"}
    with pytest.raises(ValidationFailed) as caught:
        lab.ask(AskRequest("hi", scorers=(ScorerSpec("luck"), ScorerSpec("length", {"more": 1}))), 1)
    assert [error.pointer for error in caught.value.errors] == ["/scorers/0", "/scorers/1"]
    with pytest.raises(LabUnavailable):
        lab.ask(AskRequest("hi"), 1)


def test_a_secret_is_sent_and_found_in_no_row(
    lab: LabService, lab_server: LabServer, add: Add, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNINODE_SECRET_MODELS", "sk-very-secret")
    lab_server.behave("m", Behaviour(status=401, error="wrong key sk-very-secret"))
    add(lab_server, "a", secret="MODELS")
    add(lab_server, "b", "large", secret="NOT_SET")
    with pytest.raises(LabFailed):
        lab.ask(AskRequest("hi"), 10)
    assert set(lab_server.authorizations) == {"Bearer sk-very-secret"}
    with db.transaction() as tx:
        rows = tx.all(
            "SELECT to_jsonb(e)::text AS t FROM lab_endpoints e UNION ALL SELECT to_jsonb(j)::text FROM journal j"
            " UNION ALL SELECT to_jsonb(m)::text FROM model_executions m"
        )
    assert len(rows) > 4
    assert not [row for row in rows if "sk-very-secret" in row["t"]]
