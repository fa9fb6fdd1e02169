"""What may be done with runs over HTTP; no worker is there, so that a run stays where it was brought."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.integration.tasks.workflows.runs import put_run
from tests.integration.webapp.support import client_with, pointers, problem_of
from tests.integration.webapp.workflows.test_runs import ORDER
from webapp.services import of

HELLO: dict[str, Any] = {"name": "hello", "steps": [{"key": "a", "kind": "wait", "with": {"seconds": 1}}]}
YAML = "name: hello\nsteps:\n  - {key: a, kind: wait, with: {seconds: 1}}\n"


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return client_with(app, "workflows:write", "workflows:read")


def execute(client: FlaskClient, key: str | None = None, **body: Any) -> TestResponse:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post("/workflows/execute", json=body, headers=headers)


def test_a_run_that_is_accepted_is_there(client: FlaskClient) -> None:
    answer = execute(client, definition=HELLO, input={"id": 1}, tags=["vip"], priority=9, metadata={"a": 1})
    body = answer.get_json()
    assert (answer.status_code, body["status"], body["duplicate"], body["version"]) == (202, "running", False, None)
    run = client.get(answer.headers["Location"]).get_json()
    assert (run["workflow_id"], run["input"], run["tags"], run["priority"], run["metadata"]) == (
        body["workflow_id"],
        {"id": 1},
        ["vip"],
        9,
        {"a": 1},
    )
    assert run["submitted_by"].startswith("tester of")
    assert run["correlation_id"] == answer.headers["X-Correlation-ID"]
    assert [row["event_type"] for row in run["journal"]] == ["workflow-submitted", "workflow-started"]
    assert [step["key"] for step in run["steps"]] == ["a"]


def test_an_idempotency_key_is_its_senders_own(app: Flask, client: FlaskClient) -> None:
    first = execute(client, "k-1", definition=HELLO, input={"id": 1}).get_json()
    again = execute(client, '"k-1"', definition=HELLO, input={"id": 1}).get_json()
    assert (again["workflow_id"], again["duplicate"]) == (first["workflow_id"], True)
    problem_of(execute(client, "k-1", definition=HELLO, input={"id": 2}), 422)
    other = client_with(app, "workflows:write", "workflows:read")
    theirs = execute(other, "k-1", definition=HELLO, input={"id": 2}).get_json()
    assert theirs["duplicate"] is False
    assert theirs["workflow_id"] != first["workflow_id"]


def test_a_definition_may_be_a_text_or_a_name(client: FlaskClient) -> None:
    first = execute(client, definition=YAML).get_json()
    assert execute(client, definition=HELLO).get_json()["name"] == first["name"] == "hello"
    for seconds in (1, 2):
        text = YAML.replace("seconds: 1", f"seconds: {seconds}")
        client.put("/workflows/definitions/hello", data=text, content_type="application/yaml")
    assert execute(client, name="hello").get_json()["version"] == "2"
    assert execute(client, name="hello", version="1").get_json()["version"] == "1"
    problem_of(execute(client, name="hello", version="3"), 404)
    assert "did you mean 'hello'?" in problem_of(execute(client, name="helo"), 404)["detail"]


def test_a_repeat_is_the_same_run_and_another_body_is_refused(client: FlaskClient) -> None:
    first = execute(client, "k-1", definition=HELLO, input={"a": 1}).get_json()
    again = execute(client, '"k-1"', definition=HELLO, input={"a": 1}).get_json()
    assert (again["workflow_id"], again["duplicate"]) == (first["workflow_id"], True)
    assert problem_of(execute(client, "k-1", definition=HELLO, input={"a": 2}), 422)["code"] == "IDEMPOTENCY_1"
    assert len(client.get("/workflows").get_json()["items"]) == 1


def test_what_can_not_run_is_told_with_its_place(client: FlaskClient) -> None:
    assert pointers(problem_of(execute(client), 422)) == ["/definition"]
    assert pointers(problem_of(execute(client, name="a", definition=HELLO), 422)) == ["/definition"]
    assert pointers(problem_of(execute(client, definition=HELLO, version="1"), 422)) == ["/version"]
    wrong = problem_of(execute(client, definition={**HELLO, "steps": [{"key": "a", "kind": "wait"}]}), 422)
    assert (wrong["code"], pointers(wrong)) == ("WORKFLOW_1", ["/definition/steps/0/with"])
    told = execute(client, definition="name: x\nsteps:\n  - {key: a, kind: wat}\n").get_json(force=True)["errors"]
    assert [(one["pointer"], one["line"]) for one in told] == [("/definition/steps/0/kind", 3)]
    needy = {**HELLO, "input_schema": {"type": "object", "required": ["id"]}}
    assert "/input" in pointers(problem_of(execute(client, definition=needy), 422))[0]
    for field, value in (("priority", 11), ("tags", ["a"] * 11), ("odd", 1), ("correlation_id", " ")):
        assert problem_of(execute(client, definition=HELLO, **{field: value}), 422)["errors"]
    assert client.get("/workflows").get_json()["items"] == []


def test_a_run_is_paused_resumed_and_cancelled_where_its_state_allows_it(app: Flask, client: FlaskClient) -> None:
    run_id = execute(client, definition=HELLO).get_json()["workflow_id"]

    def act(name: str, body: Any = None) -> TestResponse:
        return client.post(f"/workflows/{run_id}/{name}", **({} if body is None else {"json": body}))

    assert "is running" in problem_of(act("resume"), 409)["detail"]
    assert "is running" in problem_of(act("retry"), 409)["detail"]
    assert "is running" in problem_of(act("compensate"), 409)["detail"]
    paused = act("pause").get_json()
    assert (paused["previous_state"], paused["state"]) == ("running", "paused")
    assert "is paused" in problem_of(act("pause"), 409)["detail"]
    assert act("resume").get_json()["state"] == "running"
    assert act("cancel", {"reason": "no more"}).get_json()["state"] == "cancelled"
    assert "is cancelled" in problem_of(act("cancel"), 409)["detail"]
    run = client.get(f"/workflows/{run_id}").get_json()
    assert [row["payload"].get("by", "").split()[0] for row in run["journal"][2:]] == ["tester"] * 3
    assert act("retry").get_json()["previous_state"] == "cancelled"
    assert client.get(f"/workflows/{run_id}/steps/a").get_json()["state"] == "ready"
    with of(app).runtime.db.transaction() as tx:
        audited = tx.all("SELECT detail FROM security_audit_log WHERE code = 'workflow-steered' ORDER BY recorded_at")
    assert [row["detail"].partition(": ")[2] for row in audited] == [
        "running -> paused",
        "paused -> running",
        "running -> cancelled",
        "cancelled -> running",
    ]


def test_signals_are_kept_once(app: Flask, client: FlaskClient) -> None:
    run_id = execute(client, definition=HELLO).get_json()["workflow_id"]
    path = f"/workflows/{run_id}/signals/paid"
    first = client.post(path, json={"payload": {"amount": 3}}, headers={"Idempotency-Key": "s-1"})
    again = client.post(path, json={"payload": {"amount": 3}}, headers={"Idempotency-Key": "s-1"})
    assert (first.status_code, first.get_json()["duplicate"], again.get_json()["duplicate"]) == (202, False, True)
    assert first.get_json()["signal_id"] == again.get_json()["signal_id"]
    problem_of(client.post(path, json={"payload": 4}, headers={"Idempotency-Key": "s-1"}), 422)
    other = client_with(app, "workflows:write", "workflows:read")
    theirs = other.post(path, json={"payload": 4}, headers={"Idempotency-Key": "s-1"})
    assert (theirs.status_code, theirs.get_json().get("duplicate")) == (202, False), "of the same name, another key"
    assert client.post(path).status_code == 202, "a signal need not bring anything"
    problem_of(client.post(f"/workflows/{run_id}/signals/a%20b"), 404)
    client.post(f"/workflows/{run_id}/cancel")
    assert "cancelled" in problem_of(client.post(path), 409)["detail"]


def test_a_decision_is_that_of_its_approvers(app: Flask, client: FlaskClient) -> None:
    waiting = {"sure": {"state": "waiting", "waits_for": "decision"}, "pay": {"state": "succeeded"}}
    run_id = put_run(of(app).runtime.db, ORDER, steps=waiting)
    path = f"/workflows/{run_id}/steps"
    assert "does not wait for a decision" in problem_of(client.post(f"{path}/pay/approve"), 409)["detail"]
    problem_of(client.post(f"{path}/none/approve"), 404)
    decided = client.post(f"{path}/sure/approve", json={"comment": "fine"}).get_json()
    assert (decided["approved"], decided["by"].split()[0]) == (True, "tester")
    step = client.get(f"{path}/sure").get_json()
    assert (step["state"], step["output"]["comment"]) == ("succeeded", "fine")
    problem_of(client.post(f"{path}/sure/reject"), 409)


def test_who_is_no_approver_is_refused(app: Flask, client: FlaskClient) -> None:
    definition = {
        "name": "gate",
        "steps": [{"key": "sure", "kind": "approve", "with": {"approvers": ["boss"]}}],
    }
    run_id = execute(client, definition=definition).get_json()["workflow_id"]
    with of(app).runtime.db.transaction() as tx:
        tx.execute(
            "UPDATE steps SET state = 'waiting', waits_for = 'decision', due_at = NULL WHERE run_id = %(id)s",
            {"id": run_id},
        )
    problem_of(client.post(f"/workflows/{run_id}/steps/sure/reject"), 403)
    _, secret = of(app).access.create("boss", ["workflows:write"])
    boss = app.test_client()
    boss.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    assert boss.post(f"/workflows/{run_id}/steps/sure/reject", json={"comment": "no"}).status_code == 200
    assert client.get(f"/workflows/{run_id}/steps/sure").get_json()["state"] == "failed"


def test_acts_need_their_scope_and_a_run(app: Flask, client: FlaskClient) -> None:
    reader = client_with(app, "workflows:read")
    problem_of(execute(reader, definition=HELLO), 403)
    run_id = execute(client, definition=HELLO).get_json()["workflow_id"]
    for act in ("pause", "resume", "cancel", "retry", "compensate", "signals/x", "steps/a/approve", "steps/a/reject"):
        problem_of(reader.post(f"/workflows/{run_id}/{act}"), 403)
        problem_of(client.post(f"/workflows/{uuid4()}/{act}"), 404)


def test_a_graph_of_ten_thousand_steps_is_submitted_in_seconds(client: FlaskClient) -> None:
    steps: list[dict[str, Any]] = [{"key": "s0", "kind": "emit", "with": {"event": "x"}}]
    steps += [
        {"key": f"s{number}", "kind": "emit", "needs": [f"s{number // 2}"], "with": {"event": "x"}}
        for number in range(1, 10_000)
    ]
    answer = execute(client, definition={"name": "large", "steps": steps})
    assert answer.status_code == 202
    run = answer.get_json()["links"]
    assert client.get(run["status"]).get_json()["step_count"] == 10_000
    assert len(client.get(f"{run['chart']}?format=json").get_json()["nodes"]) <= 100
    assert len(client.get(run["self"]).get_json()["steps"]) == 100
