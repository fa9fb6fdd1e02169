"""Who may do what: closed by default, scopes, and a record of every refusal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.integration.webapp.support import HOOK, client_with, problem_of
from webapp.services import of

SOME_ID = "00000000-0000-7000-8000-000000000000"
PROTECTED = [
    ("POST", "/hooks", "hooks:write"),
    ("POST", "/hooks/batch", "hooks:write"),
    ("GET", "/hooks", "hooks:read"),
    ("GET", f"/hooks/{SOME_ID}", "hooks:read"),
    ("POST", f"/hooks/{SOME_ID}/replay", "hooks:write"),
    ("POST", "/hooks/replay", "hooks:write"),
    ("GET", "/tasks", "hooks:read"),
    ("GET", f"/tasks/{SOME_ID}", "hooks:read"),
]
OPEN = ["/", "/health", "/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs"]


@pytest.mark.parametrize(("method", "path", "scope"), PROTECTED)
def test_each_scope_opens_its_doors_and_no_others(app: Flask, method: str, path: str, scope: str) -> None:
    refused = app.test_client().open(path, method=method)
    problem_of(refused, 401)
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="omninode-bridge"'
    for granted in ("hooks:write", "hooks:read", "workflows:write", "metrics:read"):
        response = client_with(app, granted).open(path, method=method)
        if granted == scope:
            assert response.status_code not in (401, 403)
        else:
            assert problem_of(response, 403)["code"] == "ACCESS_2"
            assert "insufficient_scope" in response.headers["WWW-Authenticate"]
    assert client_with(app, "admin").open(path, method=method).status_code not in (401, 403)


def test_what_is_open_needs_no_key(anonymous: FlaskClient) -> None:
    assert {path: anonymous.get(path).status_code for path in OPEN} == dict.fromkeys(OPEN, 200)


def test_every_view_says_who_may_call_it(app: Flask) -> None:
    unmarked = [
        endpoint
        for endpoint, view in app.view_functions.items()
        if getattr(view, "_apidoc", {}).get("scopes") is None
    ]
    assert unmarked == []


def test_a_view_that_says_nothing_is_closed(app: Flask) -> None:
    app.add_url_rule("/forgotten", "forgotten", lambda: "open")
    problem_of(app.test_client().get("/forgotten"), 401)
    problem_of(client_with(app, "hooks:read").get("/forgotten"), 403)


def test_bad_credentials_are_unauthorized(anonymous: FlaskClient, subtests: pytest.Subtests) -> None:
    cases = [
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer omni_" + "x" * 43},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer \xff\xfe"},
        {"Authorization": "Bearer " + "x" * 8000},
        {"X-API-Key": ""},
        {"X-API-Key": "' OR 1=1 --"},
        {},
    ]
    for headers in cases:
        with subtests.test(headers=headers):
            problem_of(anonymous.get("/hooks", headers=headers), 401)


def test_both_headers_work_and_the_query_string_does_not(app: Flask, anonymous: FlaskClient) -> None:
    _, secret = of(app).access.create("t", ["hooks:read"])
    assert anonymous.get("/hooks", headers={"X-API-Key": secret}).status_code == 200
    assert anonymous.get("/hooks", headers={"Authorization": f"bearer {secret}"}).status_code == 200
    for name in ("api_key", "key", "access_token", "X-API-Key"):
        problem_of(anonymous.get("/hooks", query_string={name: secret}), 401)


def test_expired_and_revoked_keys_are_closed(app: Flask, anonymous: FlaskClient) -> None:
    access = of(app).access
    _, expired = access.create("old", ["hooks:read"], expires_at=datetime.now(UTC) - timedelta(seconds=1))
    problem_of(anonymous.get("/hooks", headers={"X-API-Key": expired}), 401)
    record, revoked = access.create("gone", ["hooks:read"])
    assert anonymous.get("/hooks", headers={"X-API-Key": revoked}).status_code == 200
    access.revoke(str(record["id"]))
    problem_of(anonymous.get("/hooks", headers={"X-API-Key": revoked}), 401)


def test_refusals_are_recorded(app: Flask, anonymous: FlaskClient, rows: Any) -> None:
    unknown = anonymous.post("/hooks", json=HOOK, headers={"X-API-Key": "omni_secret"})
    wrong = client_with(app, "metrics:read").get("/hooks")
    log = rows("SELECT * FROM security_audit_log WHERE kind = 'refusal' ORDER BY id")
    assert [(row["code"], row["method"], row["path"]) for row in log] == [
        ("ACCESS_1", "POST", "/hooks"),
        ("ACCESS_2", "GET", "/hooks"),
    ]
    assert log[0]["actor"] is None
    assert log[1]["actor"] == "tester of metrics:read"
    assert log[0]["address"] == "127.0.0.1"
    assert [row["correlation_id"] for row in log] == [
        unknown.headers["X-Correlation-ID"],
        wrong.headers["X-Correlation-ID"],
    ]
    assert "omni_secret" not in str(log)


def test_the_body_of_a_refused_request_is_not_looked_at(anonymous: FlaskClient) -> None:
    problem_of(anonymous.post("/hooks", data=b"\xff" * 5000), 401)
