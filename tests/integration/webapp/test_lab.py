"""The lab over HTTP: asking, streaming, comparing, and who may do what."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.integration.conftest import wait_until
from tests.integration.webapp.support import client_with, pointers, problem_of
from tests.lab_server import Behaviour, Gate, LabServer
from webapp.services import of

Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def admin(app: Flask) -> FlaskClient:
    return client_with(app, "admin")


@pytest.fixture
def asker(app: Flask) -> FlaskClient:
    return client_with(app, "metrics:write", "metrics:read")


@pytest.fixture
def endpoint(admin: FlaskClient, lab_server: LabServer) -> dict[str, Any]:
    """An endpoint with the models ``m`` and ``n``."""
    lab_server.behave("m")
    lab_server.behave("n", Behaviour(("Bye",)))
    body = {
        "name": "one",
        "kind": "ollama",
        "url": lab_server.url + "/",
        "tier": "small",
        "model_tiers": {"n": "large"},
    }
    answer = admin.post("/lab/endpoints", json=body)
    assert answer.status_code == 201
    return dict(answer.get_json())


def events_of(raw: bytes) -> list[tuple[str, Any]]:
    found = []
    for block in raw.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_an_endpoint_is_added_asked_listed_and_removed(
    admin: FlaskClient, asker: FlaskClient, endpoint: dict[str, Any], lab_server: LabServer, rows: Rows
) -> None:
    assert endpoint["url"] == lab_server.url
    assert (endpoint["state"], endpoint["circuit"], endpoint["model_count"]) == ("healthy", "closed", 2)
    again = {"name": "one", "kind": "ollama", "url": lab_server.url, "tier": "small"}
    problem_of(admin.post("/lab/endpoints", json=again), 409)
    down = admin.post("/lab/endpoints", json={**again, "name": "two", "url": "http://127.0.0.1:1"}).get_json()
    assert down["state"] == "unhealthy"
    assert down["check_error"].startswith("unreachable")
    health = asker.get("/lab/health").get_json()
    assert (health["status"], len(health["endpoints"])) == ("degraded", 2)
    models = asker.get("/models/available").get_json()["items"]
    assert [(one["model"], one["available"], one["endpoints"][0]["tier"]) for one in models] == [
        ("m", True, "small"),
        ("n", True, "large"),
    ]
    assert [one["name"] for one in admin.get("/lab/endpoints").get_json()["items"]] == ["one", "two"]
    assert admin.delete("/lab/endpoints/two").status_code == 204
    problem_of(admin.delete("/lab/endpoints/two"), 404)
    audited = rows("SELECT code FROM security_audit_log WHERE kind = 'admin' AND code LIKE 'lab-%%' ORDER BY id")
    assert [row["code"] for row in audited] == ["lab-endpoint-added", "lab-endpoint-added", "lab-endpoint-removed"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"url": "ftp://x.example"}, "/url"),
        ({"url": "http://user:secret@x.example"}, "/url"),
        ({"url": "http://x.example/?key=1"}, "/url"),
        ({"kind": "other"}, "/kind"),
        ({"tier": "gigantic"}, "/tier"),
        ({"secret": "lower case"}, "/secret"),
        ({"name": "Über"}, "/name"),
        ({"max_concurrency": 0}, "/max_concurrency"),
        ({"model_tiers": {"m": "gigantic"}}, "/model_tiers/m/value"),
        ({"api_key": "sk-1"}, "/api_key"),
    ],
)
def test_endpoints_that_can_not_be(admin: FlaskClient, change: dict[str, Any], pointer: str) -> None:
    body = {"name": "one", "kind": "ollama", "url": "http://127.0.0.1:1", "tier": "small", **change}
    assert pointers(problem_of(admin.post("/lab/endpoints", json=body), 422)) == [pointer]


def test_a_model_is_asked(asker: FlaskClient, endpoint: dict[str, Any], rows: Rows) -> None:
    answer = asker.post("/execute", json={"prompt": "hi", "task_type": "testing", "metadata": {"a": 1}})
    assert answer.status_code == 200
    body = answer.get_json()
    assert (body["text"], body["model"], body["tier"], body["cost_usd"]) == ("Hello, world", "m", "small", None)
    [row] = rows("SELECT * FROM model_executions")
    assert row["execution_id"] == body["attempts"][0]["execution_id"]
    assert (row["task_type"], row["metadata"]) == ("testing", {"a": 1})
    [told] = rows("SELECT payload FROM journal WHERE event_type = 'model-execution-recorded'")
    assert told["payload"]["execution_id"] == row["execution_id"]


def test_answers_stream(asker: FlaskClient, endpoint: dict[str, Any], lab_server: LabServer) -> None:
    lab_server.behave("m", Behaviour(("a", "b"), error_after=1))
    answer = asker.post("/execute", json={"prompt": "hi", "stream": True})
    assert answer.content_type.startswith("text/event-stream")
    events = events_of(answer.data)
    names = [name for name, _ in events]
    assert names == ["attempt", "text", "attempt_failed", "attempt", "text", "answer"]
    assert events[2][1]["error_type"] == "model_error"
    assert events[2][1]["escalated_to_tier"] == "large"
    assert (events[-1][1]["text"], len(events[-1][1]["attempts"])) == ("Bye", 2)
    lab_server.behave("m", Behaviour(status=400))
    lab_server.behave("n", Behaviour(status=400))
    name, problem = events_of(asker.post("/execute", json={"prompt": "hi", "stream": True}).data)[-1]
    assert (name, problem["code"], problem["status"]) == ("error", "LAB_3", 502)


def test_a_client_that_goes_away_ends_its_question(
    asker: FlaskClient, endpoint: dict[str, Any], lab_server: LabServer, rows: Rows
) -> None:
    lab_server.behave("m", Behaviour(("a",) * 200, delay_s=0.1))
    answer = asker.post("/execute", json={"prompt": "hi", "stream": True}, buffered=False)
    assert next(iter(answer.response)).startswith(b"event: attempt")
    answer.close()
    wait_until(lambda: rows("SELECT error_type FROM model_executions"))
    assert rows("SELECT error_type FROM model_executions") == [{"error_type": "cancelled"}]


def test_problems_tell_what_went_wrong(asker: FlaskClient, endpoint: dict[str, Any], lab_server: LabServer) -> None:
    problem = problem_of(asker.post("/execute", json={"prompt": "hi", "model": "no-such"}), 503)
    assert problem["code"] == "LAB_1"
    problem = problem_of(asker.post("/execute", json={"prompt": "hi", "model": "no-such", "stream": True}), 503)
    assert problem["code"] == "LAB_1"
    lab_server.behave("m", Behaviour(status=400, error="too long"))
    problem = problem_of(asker.post("/execute", json={"prompt": "hi", "model": "m"}), 502)
    assert (problem["code"], pointers(problem)) == ("LAB_3", ["/attempts/0"])
    assert "too long" in problem["errors"][0]["detail"]
    lab_server.behave("m", Behaviour(first_delay_s=20))
    problem = problem_of(asker.post("/execute", json={"prompt": "hi", "model": "m", "timeout_s": 0.3}), 504)
    assert problem["code"] == "LAB_4"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ["/prompt"]),
        ({"prompt": "x", "fallback": "luck", "tier": "x"}, ["/fallback", "/tier"]),
        ({"prompt": "x", "timeout_s": 301}, ["/timeout_s"]),
        ({"prompt": "x", "timeout_s": 4000, "async": True}, ["/timeout_s"]),
        ({"prompt": "x", "scorers": [{"name": "luck"}]}, ["/scorers/0"]),
        ({"prompt": "x", "expect": {"schema": {"type": "nonsense"}, "more": 1}}, ["/expect/more", "/expect/schema"]),
        ({"prompt": "x", "surprise": 1}, ["/surprise"]),
    ],
)
def test_questions_that_can_not_be(asker: FlaskClient, body: dict[str, Any], expected: list[str]) -> None:
    assert sorted(pointers(problem_of(asker.post("/execute", json=body), 422))) == expected


def test_a_long_question_is_carried(app: Flask, asker: FlaskClient, endpoint: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": "q-1"}
    first = asker.post("/execute", json={"prompt": "hi", "async": True}, headers=headers)
    again = asker.post(
        "/execute", json={"prompt": "hi", "async": True}, headers={**headers, "Prefer": "wait=1, respond-async"}
    )
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.get_json() == again.get_json()
    problem_of(asker.post("/execute", json={"prompt": "ho", "async": True}, headers=headers), 422)
    here = first.headers["Location"]
    assert asker.get(here).get_json()["state"] == "pending"
    of(app).carried.carry(first.get_json()["id"])
    body = asker.get(here).get_json()
    assert (body["state"], body["answer"]["text"]) == ("succeeded", "Hello, world")
    problem_of(asker.get(f"/execute/{uuid4()}"), 404)


def test_a_comparison_answers_in_time_without_any_worker(asker: FlaskClient, endpoint: dict[str, Any]) -> None:
    answer = asker.post("/compare", json={"prompt": "hi", "models": ["m", "n"], "timeout_s": 0.5})
    body = answer.get_json()
    assert (body["state"], body["best"]) == ("failed", None)
    assert [one["error_code"] for one in body["results"]] == ["LAB_4", "LAB_4"]
    accepted = asker.post("/compare", json={"prompt": "hi", "models": ["m", "n"], "async": True})
    assert accepted.status_code == 202
    assert asker.get(accepted.headers["Location"]).get_json()["state"] == "running"
    problem_of(asker.post("/compare", json={"prompt": "hi", "models": ["m", "m"]}), 422)


def test_a_comparison_holds_every_answer(
    app: Flask, asker: FlaskClient, endpoint: dict[str, Any], celery_processes: Any
) -> None:
    celery_processes.worker("lab", pool="threads", concurrency=4)
    body = {"prompt": "hi", "models": ["m", "n"], "scorers": [{"name": "exact", "arguments": {"expected": "bye"}}]}
    compared = asker.post("/compare", json=body).get_json()
    assert (compared["state"], compared["best"]) == ("succeeded", "n")
    assert [one["answer"]["text"] for one in compared["results"]] == ["Hello, world", "Bye"]
    assert [one["answer"]["quality_score"] for one in compared["results"]] == [0.0, 1.0]


def test_the_report_tells_endpoints_and_models(
    asker: FlaskClient, endpoint: dict[str, Any], lab_server: LabServer
) -> None:
    for _ in range(3):
        asker.post("/execute", json={"prompt": "hi"})
    lab_server.behave("m", Behaviour(status=400))
    asker.post("/execute", json={"prompt": "hi"})
    report = asker.get("/lab/performance-report?hours=1").get_json()
    [one] = report["endpoints"]
    assert (one["name"], one["attempts"], one["success_rate"], one["escalations"]) == ("one", 5, 0.8, 1)
    assert one["errors"] == {"refused": 1}
    models = {row["name"]: row for row in report["models"]}
    assert (models["m"]["attempts"], models["n"]["attempts"]) == (4, 1)
    assert models["m"]["latency_ms"]["p50"] > 0
    assert models["m"]["first_token_latency_ms"]["p50"] <= models["m"]["latency_ms"]["p99"]
    problem_of(asker.get("/lab/performance-report?hours=1000"), 422)


def test_more_clients_than_may_wait_are_told_so(
    app: Flask, asker: FlaskClient, endpoint: dict[str, Any], lab_server: LabServer
) -> None:
    gate = Gate()
    lab_server.behave("m", Behaviour(gate=gate))
    limit = of(app).settings.lab_waiting_limit
    waiting = app.extensions["bridge-lab-waiting"]
    for _ in range(limit - 1):
        waiting.take()
    thread = threading.Thread(target=lambda: asker.post("/execute", json={"prompt": "hi", "model": "m"}))
    thread.start()
    wait_until(lambda: gate.inside == 1)
    refused = client_with(app, "metrics:write").post("/execute", json={"prompt": "hi"})
    assert problem_of(refused, 503)["code"] == "LAB_2"
    assert refused.headers["Retry-After"]
    gate.opened.set()
    thread.join(30)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/execute", "metrics:write"),
        ("POST", "/compare", "metrics:write"),
        ("GET", "/models/available", "metrics:read"),
        ("GET", "/lab/health", "metrics:read"),
        ("GET", "/lab/performance-report", "metrics:read"),
        ("GET", "/lab/endpoints", "admin"),
        ("POST", "/lab/endpoints", "admin"),
        ("DELETE", "/lab/endpoints/x", "admin"),
    ],
)
def test_scopes(app: Flask, anonymous: FlaskClient, method: str, path: str, scope: str) -> None:
    problem_of(anonymous.open(path, method=method), 401)
    others = {"metrics:write", "metrics:read", "hooks:write"} - {scope}
    problem_of(client_with(app, *others).open(path, method=method), 403)
    assert client_with(app, scope).open(path, method=method, json={}).status_code not in (401, 403)


def test_prometheus_sees_endpoints(anonymous: FlaskClient, endpoint: dict[str, Any]) -> None:
    lines = anonymous.get("/metrics").get_data(as_text=True).splitlines()
    assert 'omninode_lab_endpoint_up{endpoint="one"} 1.0' in lines
    assert 'omninode_lab_circuit{endpoint="one",state="closed"} 1.0' in lines
    assert 'omninode_lab_questions{state="pending"} 0.0' in lines
