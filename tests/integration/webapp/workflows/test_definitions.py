"""Definitions over HTTP: versions that never change, every mistake at once, YAML and JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tasks.settings import Settings
from tests.integration.webapp.support import client_with, problem_of, running

YAML = """\
name: order
description: Sends an order
tags: [shop]
steps:
  - key: told
    kind: emit
    needs: [settle]
    with: {event: order-settled}
  - {key: settle, kind: wait, with: {seconds: 2}}
"""
BROKEN = """\
name: order
steps:
  - {key: a, kind: emit, needs: [b], with: {event: x}}
  - {key: b, kind: emitt, needs: [a]}
  - key: c
    kind: emit
    needs: [zebra]
    with: {event: "x", data: {n: "${{ input. }}"}}
"""


USER_MODULE = """\
from tasks.workflows.functions import step


@step("doors.greet")
def greet(name: str) -> str:
    return name
"""


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return client_with(app, "workflows:write", "workflows:read")


def put(
    client: FlaskClient, text: str, name: str = "order", media: str = "application/yaml", query: str = ""
) -> TestResponse:
    return client.put(f"/workflows/definitions/{name}{query}", data=text.encode(), content_type=media)


def test_a_definition_is_stored_once_and_shown(client: FlaskClient) -> None:
    first = put(client, YAML)
    body = first.get_json()
    assert (first.status_code, body["version"], body["created"], body["step_count"]) == (201, "1", True, 2)
    assert first.headers["Location"] == "/workflows/definitions/order?version=1"
    again = put(client, YAML)
    assert (again.status_code, again.get_json()["id"], again.get_json()["created"]) == (200, body["id"], False)
    shown = client.get(first.headers["Location"]).get_json()
    assert shown["definition"]["steps"][1] == {"key": "settle", "kind": "wait", "with": {"seconds": 2}}
    assert shown["created_by"].startswith("tester of")
    assert client.get("/workflows/definitions/order").get_json() == shown


def test_json_is_read_too_and_what_is_shown_can_be_put_back(client: FlaskClient) -> None:
    put(client, YAML)
    shown = client.get("/workflows/definitions/order").get_json()
    again = client.put("/workflows/definitions/order", json=shown["definition"])
    assert (again.status_code, again.get_json()["version"]) == (200, "1")


def test_versions_are_listed_and_never_change(client: FlaskClient) -> None:
    put(client, YAML)
    assert put(client, YAML.replace("2}", "3}")).get_json()["version"] == "2"
    assert put(client, YAML.replace("2}", "4}"), query="?version=spring").get_json()["version"] == "spring"
    problem = problem_of(put(client, YAML, query="?version=spring"), 409)
    assert "another content" in problem["detail"]
    page = client.get("/workflows/definitions/order/versions?limit=2").get_json()
    assert [item["version"] for item in page["items"]] == ["spring", "2"]
    assert [item["version"] for item in client.get(page["next"]).get_json()["items"]] == ["1"]
    put(client, YAML.replace("order\n", "billing\n", 1), name="billing")
    names = client.get("/workflows/definitions").get_json()["items"]
    assert [(item["name"], item["version"]) for item in names] == [("billing", "1"), ("order", "spring")]
    assert [item["name"] for item in client.get("/workflows/definitions?search=BILL").get_json()["items"]] == [
        "billing"
    ]


def test_every_mistake_is_told_at_once_with_its_place(client: FlaskClient) -> None:
    answer = put(client, BROKEN)
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    problem = answer.get_json(force=True)
    assert problem["code"] == "WORKFLOW_1"
    told = {(error["pointer"], error["line"]): error for error in problem["errors"]}
    assert "a → b → a" in told["/steps/0/needs", 3]["detail"]
    assert "emitt" in told["/steps/1/kind", 4]["detail"]
    assert "zebra" in told["/steps/2/needs/0", 7]["detail"]
    assert "bad expression" in told["/steps/2/with/data/n", 8]["detail"]
    assert told["/steps/2/needs/0", 7]["column"] == 13
    checked = client.post("/workflows/validate", data=BROKEN, content_type="application/yaml")
    assert (checked.status_code, checked.get_json()["valid"]) == (200, False)
    assert checked.get_json()["errors"] == problem["errors"]
    assert client.get("/workflows/definitions").get_json()["items"] == []


def test_a_valid_definition_is_said_to_be(client: FlaskClient) -> None:
    answer = client.post("/workflows/validate", data=YAML, content_type="text/yaml").get_json()
    assert answer == {"valid": True, "name": "order", "step_count": 2, "errors": []}


def test_what_is_no_definition_is_told(client: FlaskClient) -> None:
    assert problem_of(put(client, YAML, name="other"), 422)["errors"][0]["pointer"] == "/name"
    problem_of(put(client, YAML, media="text/html"), 415)
    problem_of(client.get("/workflows/definitions/none"), 404)
    problem_of(client.get("/workflows/definitions/none/versions"), 404)
    for text in ("", "- 1", "a: [", "\xff"):
        assert put(client, text).status_code == 422
    large = b'{"name": "order", "description": "' + b"x" * (9 << 20) + b'"}'
    problem_of(client.put("/workflows/definitions/order", data=large, content_type="application/json"), 413)


def test_names_of_tasks_are_those_of_the_users_modules(web_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "doors_user_tasks.py").write_text(USER_MODULE)
    sys.path.insert(0, str(tmp_path))
    try:
        with running(replace(web_settings, omninode_imports=("doors_user_tasks",))) as app:
            client = client_with(app, "workflows:read")

            def errors(task: str) -> list[dict[str, Any]]:
                text = f"name: n\nsteps: [{{key: a, kind: task, with: {{task: {task}}}}}]"
                answer = client.post("/workflows/validate", data=text, content_type="application/yaml")
                found: list[dict[str, Any]] = answer.get_json()["errors"]
                return found

            assert errors("doors.greet") == []
            [unknown] = errors("doors.great")
            assert "doors.greet" in unknown["detail"]
    finally:
        sys.path.remove(str(tmp_path))


@pytest.fixture
def schema(client: FlaskClient) -> Iterator[Any]:
    return client.get("/workflows/schema").get_json()


def test_the_schema_is_one_for_editors(schema: Any, client: FlaskClient) -> None:
    put(client, YAML)
    definition = client.get("/workflows/definitions/order").get_json()["definition"]
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid(definition)
    assert not validator.is_valid({**definition, "steps": []})


def test_scopes(app: Flask, anonymous: FlaskClient) -> None:
    problem_of(anonymous.get("/workflows/definitions"), 401)
    reader = client_with(app, "workflows:read")
    problem_of(put(reader, YAML), 403)
    assert reader.get("/workflows/definitions").status_code == 200
    problem_of(client_with(app, "hooks:write").post("/workflows/validate", data=YAML), 403)
