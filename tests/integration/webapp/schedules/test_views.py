"""Schedules over HTTP: made, shown with their ticks, changed, steered, run by hand; and every mistake at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tasks.workflows import definitions
from tasks.workflows.definition.parse import parse_definition
from tests.integration.webapp.support import client_with, pointers, problem_of
from webapp.services import of

Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client that may write and read workflows, of which there is one, ``nap``."""
    steps = [{"key": "nap", "kind": "wait", "with": {"seconds": 1}}]
    definitions.put(of(app).runtime.db, parse_definition({"name": "nap", "steps": steps}))
    return client_with(app, "workflows:write", "workflows:read")


def test_a_schedule_from_its_making_to_its_end(client: FlaskClient, rows: Rows) -> None:
    given = {"name": "nightly", "cron": "30 2 * * *", "timezone": "Europe/Berlin", "workflow": "nap", "tags": ["n"]}
    made = client.post("/schedules", json=given)
    assert made.status_code == 201
    row = made.get_json()
    assert made.headers["Location"] == row["links"]["self"] == f"/schedules/{row['id']}"
    assert (row["state"], row["catch_up"], row["created_by"][:9]) == ("active", "skip", "tester of")
    problem_of(client.post("/schedules", json=given), 409)

    shown = client.get("/schedules/nightly").get_json()
    assert [tick["local"][11:19] for tick in shown["upcoming"]] == ["02:30:00"] * 5
    assert shown["upcoming"][0]["tick"] == row["next_tick"]
    assert shown["recent"] == []

    changed = client.patch(
        f"/schedules/{row['id']}", json={"cron": None, "every_s": 3600, "overlap": "skip"}
    ).get_json()
    assert (changed["cron"], changed["every_s"], changed["version"]) == (None, 3600, 2)
    assert changed["next_tick"] != row["next_tick"]
    same = client.patch("/schedules/nightly", json={"priority": 7}).get_json()
    assert (same["next_tick"], same["priority"]) == (changed["next_tick"], 7)

    assert client.post("/schedules/nightly/pause").get_json()["next_tick"] is None
    problem_of(client.post("/schedules/nightly/pause"), 409)
    assert client.get("/schedules?state=paused").get_json()["items"][0]["name"] == "nightly"
    resumed = client.post("/schedules/nightly/resume").get_json()
    assert datetime.fromisoformat(resumed["next_tick"]) > datetime.now(UTC)

    assert client.delete("/schedules/nightly").get_json()["name"] == "nightly"
    problem_of(client.get("/schedules/nightly"), 404)
    audited = rows("SELECT code FROM security_audit_log WHERE code LIKE 'schedule-%%' ORDER BY id")
    assert [entry["code"] for entry in audited] == [
        f"schedule-{act}" for act in ("created", "changed", "changed", "paused", "resumed", "removed")
    ]
    told = rows("SELECT version, payload->>'action' AS action FROM journal WHERE aggregate_id = %(id)s ORDER BY id",
                id=row["id"])  # fmt: skip
    assert [entry["version"] for entry in told] == [1, 2, 3, 4, 5, 6]


def test_a_run_by_hand(client: FlaskClient) -> None:
    given = {"name": "s", "every_s": 3600, "workflow": "nap", "input": {"by_hand": "${{ schedule.manual }}"}}
    client.post("/schedules", json=given)
    client.post("/schedules/s/pause")
    keyed = {"Idempotency-Key": '"once"'}
    first = client.post("/schedules/s/trigger", headers=keyed)
    assert first.status_code == 202
    run = first.get_json()
    assert client.get(run["links"]["self"]).get_json()["input"] == {"by_hand": True}
    again = client.post("/schedules/s/trigger", headers=keyed).get_json()
    assert (again["workflow_id"], again["duplicate"]) == (run["workflow_id"], True)
    other = client.post("/schedules/s/trigger").get_json()
    assert other["workflow_id"] != run["workflow_id"]
    recent = client.get("/schedules/s").get_json()["recent"]
    assert [(tick["run_id"], tick["manual"], tick["outcome"]) for tick in recent] == [
        (other["workflow_id"], True, "started"),
        (run["workflow_id"], True, "started"),
    ]


def test_pages_by_name(client: FlaskClient) -> None:
    for number in range(5):
        client.post("/schedules", json={"name": f"s{number}", "every_s": 60, "workflow": "nap"})
    seen, link = [], "/schedules?limit=2&workflow=nap"
    while link:
        page = client.get(link).get_json()
        seen += [item["name"] for item in page["items"]]
        link = page["next"]
    assert seen == [f"s{number}" for number in range(5)]


def test_every_mistake_is_told(client: FlaskClient, subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"cron": "61 * * * *"}, {"/cron"}),
        ({"cron": "@daily", "every_s": 5}, {"/cron"}),
        ({}, {"/cron"}),
        ({"every_s": 0}, {"/every_s"}),
        ({"every_s": 60, "timezone": "Mars/Olympus", "input": {"a": "${{ input.x }}"}}, {"/timezone", "/input"}),
        ({"every_s": 60, "workflow": "none"}, {"/workflow"}),
        ({"every_s": 60, "catch_up": "all", "overlap": "skip"}, {"/overlap"}),
        ({"every_s": 60, "starts_at": "2030-01-02T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"}, {"/ends_at"}),
        ({"every_s": 60, "ends_at": "2020-01-01T00:00:00Z"}, {"/ends_at"}),
        ({"every_s": 60, "starts_at": "2020-01-01T00:00:00"}, {"/starts_at"}),
        ({"every_s": 60, "unknown": 1}, {"/unknown"}),
        ({"cron": "x", "timezone": "Mars/X", "workflow": "none"}, {"/cron", "/timezone", "/workflow"}),
        (
            {"cron": "x", "timezone": "Mars/X", "jitter_s": -1, "tags": [1], "input": {"a/b": ["${{ x }}"]}, "u": 1},
            {"/cron", "/timezone", "/jitter_s", "/tags/0", "/input", "/u"},
        ),
        ({"cron": 5, "grace_s": "x", "metadata": 1}, {"/cron", "/grace_s", "/metadata"}),
    ]
    for given, expected in cases:
        with subtests.test(given=str(given)):
            answer = client.post("/schedules", json={"name": "s", "workflow": "nap", **given})
            assert set(pointers(problem_of(answer, 422))) == expected
    problem_of(client.post("/schedules/none/trigger"), 404)
    problem_of(client.get("/schedules/a%00b"), 404)


def test_scopes(app: Flask, client: FlaskClient) -> None:
    reader = client_with(app, "workflows:read")
    problem_of(reader.post("/schedules", json={}), 403)
    problem_of(reader.post("/triggers", json={}), 403)
    assert reader.get("/triggers").status_code == 200
    problem_of(client_with(app, "hooks:read").get("/schedules"), 403)


def test_triggers_over_http(client: FlaskClient, rows: Rows) -> None:
    given = {"name": "t", "event_types": ["invoice.*"], "filter": "hook.data.total > 1", "workflow": "nap"}
    made = client.post("/triggers", json=given)
    assert made.status_code == 201
    assert made.headers["Location"] == made.get_json()["links"]["self"]
    problem_of(client.post("/triggers", json=given), 409)
    assert client.patch("/triggers/t", json={"filter": None, "sources": ["a"]}).get_json()["filter"] is None
    assert client.post("/triggers/t/pause").get_json()["state"] == "paused"
    problem_of(client.post("/triggers/t/pause"), 409)
    assert [item["name"] for item in client.get("/triggers?state=paused").get_json()["items"]] == ["t"]
    assert client.post("/triggers/t/resume").get_json()["state"] == "active"
    assert client.get("/triggers/t").get_json()["recent"] == []
    assert client.delete("/triggers/t").get_json()["version"] == 4
    problem_of(client.get("/triggers/t"), 404)
    wrong = client.post("/triggers", json={**given, "filter": "hook.(", "priority": 11})
    assert set(pointers(problem_of(wrong, 422))) == {"/priority", "/filter"}
    wrong = client.post("/triggers", json={**given, "filter": "hook.(", "workflow": "none"})
    assert set(pointers(problem_of(wrong, 422))) == {"/filter", "/workflow"}
    problem_of(client.post("/triggers", json=[]), 422)
    audited = rows("SELECT code FROM security_audit_log WHERE code LIKE 'trigger-%%' ORDER BY id")
    assert [entry["code"] for entry in audited] == [
        f"trigger-{act}" for act in ("created", "changed", "paused", "resumed", "removed")
    ]
