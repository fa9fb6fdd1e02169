"""Runs over HTTP, from rows that the tests put there: lists, one, its steps, its chart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tasks.workflows.definition.parse import parse_definition
from tests.integration.tasks.workflows.runs import put_run
from tests.integration.webapp.support import client_with, problem_of
from webapp.services import of

ORDER = parse_definition(
    {
        "name": "order",
        "steps": [
            {"key": "pay", "kind": "wait", "with": {"seconds": 1}},
            {"key": "sure", "kind": "approve", "needs": ["pay"], "with": {"message": "Sure?"}},
            {"key": "ship", "kind": "emit", "needs": ["sure"], "with": {"event": "x"}},
        ],
    }
)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return client_with(app, "workflows:read")


def run(app: Flask, *args: Any, **given: Any) -> UUID:
    return put_run(of(app).runtime.db, *(args or (ORDER,)), **given)


def test_a_run_is_shown_with_steps_and_links(app: Flask, client: FlaskClient) -> None:
    run_id = run(app, input={"id": 1}, steps={"pay": {"state": "succeeded", "output": ["x" * 100] * 1000}})
    shown = client.get(f"/workflows/{run_id}").get_json()
    assert (shown["workflow_id"], shown["state"], shown["input"]) == (str(run_id), "running", {"id": 1})
    assert [(step["key"], step["needs"]) for step in shown["steps"]] == [
        ("pay", []),
        ("sure", ["pay"]),
        ("ship", ["sure"]),
    ]
    assert shown["steps"][0]["cut"] == ["output"]
    assert shown["next_steps"] is None
    whole = client.get(f"/workflows/{run_id}/steps/pay?whole=true").get_json()
    assert whole["output"] == ["x" * 100] * 1000
    assert whole["cut"] == []
    for link in shown["links"].values():
        assert client.get(link).status_code == 200


def test_the_steps_of_a_large_run_come_in_pages(app: Flask, client: FlaskClient) -> None:
    steps = [{"key": f"s{number}", "kind": "emit", "with": {"event": "x"}} for number in range(250)]
    run_id = run(app, parse_definition({"name": "large", "steps": steps}))
    shown = client.get(f"/workflows/{run_id}").get_json()
    seen = [step["key"] for step in shown["steps"]]
    link = shown["next_steps"]
    while link:
        page = client.get(link).get_json()
        seen += [step["key"] for step in page["items"]]
        link = page["next"]
    assert seen == [step["key"] for step in steps]


def test_the_status_is_small_and_says_who_is_waited_for(app: Flask, client: FlaskClient) -> None:
    waiting = {"state": "waiting", "waits_for": "decision", "arguments": {"message": "Sure?"}}
    status = client.get(f"/workflows/{run(app, steps={'sure': waiting})}/status").get_json()
    assert status["states"] == {"pending": 2, "waiting": 1}
    assert [(one["key"], one["message"]) for one in status["waiting"]] == [("sure", "Sure?")]


def test_a_chart_is_mermaid_or_json(app: Flask, client: FlaskClient) -> None:
    run_id = run(app, steps={"pay": {"state": "succeeded"}})
    drawn = client.get(f"/workflows/{run_id}/chart")
    assert drawn.content_type == "text/plain; charset=utf-8"
    assert drawn.text.startswith("flowchart TD\n")
    assert ":::succeeded" in drawn.text
    data = client.get(f"/workflows/{run_id}/chart?format=json&nodes=1").get_json()
    assert [(node["label"], node["count"]) for node in data["nodes"]] == [("pay → ship", 3)]
    problem_of(client.get(f"/workflows/{run_id}/chart?nodes=0"), 422)


def test_runs_are_listed_by_what_they_are(app: Flask, client: FlaskClient) -> None:
    done = run(app, ORDER, "succeeded", tags=("vip",))
    child = run(app, parent_id=done)

    def found(path: str = "/workflows", **query: Any) -> list[str]:
        items: list[dict[str, Any]] = client.get(path, query_string=query).get_json()["items"]
        return [item["workflow_id"] for item in items]

    both = [str(child), str(done)]
    assert found() == found(name="order") == found(search="ORD") == both
    assert found(name="other") == found(search="zzz") == []
    assert found(state="succeeded") == found(tag="vip") == [str(done)]
    assert found(parent=str(done)) == found("/workflows/active") == [str(child)]
    now = datetime.now(UTC)
    assert found(since=(now - timedelta(hours=1)).isoformat(), until="9999-12-31T00:00:00Z") == both
    assert found(until="0001-01-01T00:00:00Z") == []
    page = client.get("/workflows?limit=1").get_json()
    assert [item["workflow_id"] for item in client.get(page["next"]).get_json()["items"]] == [str(done)]
    problem_of(client.get("/workflows?state=odd"), 422)
    problem_of(client.get("/workflows?cursor=odd"), 422)
    twice = problem_of(client.get("/workflows?state=failed&state=succeeded&tag=a&limit=1&limit=1"), 422)
    assert [one["pointer"] for one in twice["errors"]] == ["/state", "/limit"]
    assert len(problem_of(client.get("/workflows?search="), 422)["errors"]) == 1


def test_what_is_not_there_is_404(app: Flask, client: FlaskClient) -> None:
    for path in ("", "/status", "/steps", "/chart", "/steps/pay"):
        problem_of(client.get(f"/workflows/{uuid4()}{path}"), 404)
    problem_of(client.get(f"/workflows/{run(app)}/steps/none"), 404)
    problem_of(client.get(f"/workflows/{run(app)}/steps/%00"), 404)
    problem_of(client.get("/workflows/none"), 404)


def test_reading_needs_its_scope(app: Flask, anonymous: FlaskClient) -> None:
    run_id = run(app)
    for path in ("", "/status", "/steps", "/chart", "/steps/pay"):
        problem_of(anonymous.get(f"/workflows/{run_id}{path}"), 401)
        problem_of(client_with(app, "hooks:read").get(f"/workflows/{run_id}{path}"), 403)


def test_prometheus_is_told_what_has_not_ended(app: Flask, anonymous: FlaskClient) -> None:
    run(app, steps={"pay": {"state": "retrying", "due_at": "2030-01-01T00:00:00Z"}})
    run(app, ORDER, "paused")
    run(app, ORDER, "failed")
    text = anonymous.get("/metrics").text
    assert 'omninode_workflow_runs{state="running"} 1.0' in text
    assert 'omninode_workflow_runs{state="paused"} 1.0' in text
    assert 'omninode_workflow_steps{state="retrying"} 1.0' in text
    assert 'omninode_workflow_runs{state="failed"}' not in text
