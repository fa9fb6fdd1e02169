"""What operators and readers look at: health, telemetry, index, documents, security headers."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

from flask import Flask
from flask.testing import FlaskClient

from tests.integration.webapp.support import HOOK
from webapp.services import of


def test_health_names_every_dependency_with_its_latency(anonymous: FlaskClient) -> None:
    checks = anonymous.get("/health").get_json()["checks"]
    assert set(checks) == {"postgresql", "redis", "kafka"}
    for check in checks.values():
        assert set(check) == {"status", "latency_ms", "detail"}
        assert check["latency_ms"] >= 0
    assert checks["postgresql"]["status"] == checks["redis"]["status"] == "healthy"
    assert anonymous.get("/health/live").get_json() == {"status": "alive"}
    assert anonymous.get("/health/ready").get_json()["status"] == "ready"


def test_metrics_count_requests_and_tell_what_waits(client: FlaskClient) -> None:
    for _ in range(3):
        client.post("/hooks", json=HOOK)
    client.get("/hooks/00000000-0000-7000-8000-000000000000")
    response = client.get("/metrics")
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    text = response.get_data(as_text=True)
    assert 'omninode_http_request_duration_seconds_count{method="POST",rule="/hooks",status="202"} 3.0' in text
    assert 'rule="/hooks/<uuid:hook_id>",status="404"' in text
    assert 'omninode_inbox_hooks{state="received"} 3.0' in text
    assert re.search(r"^omninode_inbox_oldest_received_seconds \d", text, re.MULTILINE)
    assert re.search(r'^omninode_journal_lag_rows\{sink="kafka"\} \d', text, re.MULTILINE)
    assert "omninode_postgresql_up 1.0" in text
    assert "omninode_schedules_late_seconds 0.0" in text
    assert 'omninode_workflow_runs{state="running"} 0.0' in text
    assert 'omninode_workflow_steps{state="waiting"} 0.0' in text
    assert "0000-7000" not in text


def test_the_index_leads_to_what_exists(client: FlaskClient) -> None:
    for link in client.get("/").get_json()["links"].values():
        assert client.get(link).status_code == 200, link


class _References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href", "data-openapi")]


def test_the_documents_need_nothing_from_elsewhere(anonymous: FlaskClient) -> None:
    page = anonymous.get("/docs")
    assert page.content_type == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    parser = _References()
    parser.feed(page.get_data(as_text=True))
    assert len(parser.found) >= 6
    for reference in parser.found:
        assert "//" not in reference
        response = anonymous.get(urljoin("/docs", reference))
        assert response.status_code == 200, reference
        assert response.get_data()


def test_the_description_covers_every_operation(app: Flask, anonymous: FlaskClient) -> None:
    spec = anonymous.get("/openapi.json").get_json()
    undocumented = {"docs", "telemetry"}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.split(".")[0] in undocumented:
            continue
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            operation = spec["paths"][path][method.lower()]
            assert operation["summary"]
            if operation["security"]:
                assert {"401", "403", "429", "503"} <= set(operation["responses"])
                assert operation["x-scopes"]
            for response in operation["responses"].values():
                described = response
                if "$ref" in response:
                    described = spec["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
                assert "X-Correlation-ID" in described["headers"]
    assert set(spec["components"]["securitySchemes"]) == {"bearerKey", "headerKey"}


def test_every_answer_has_the_security_headers(client: FlaskClient) -> None:
    for path in ("/", "/hooks", "/health", "/metrics", "/docs", "/nowhere"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"


def test_health_tells_of_a_relay_that_can_t_send_or_does_not_run(client: FlaskClient, app: Flask) -> None:
    client.post("/hooks", json=HOOK)
    with of(app).runtime.db.transaction() as tx:
        tx.execute("UPDATE journal SET recorded_at = recorded_at - interval '20 seconds'")
    late = client.get("/health")
    assert late.status_code == 200
    assert late.get_json()["status"] == "degraded"
    assert late.get_json()["checks"]["kafka"]["status"] == "degraded"
    assert "No relay runs" in late.get_json()["checks"]["kafka"]["detail"]
    with of(app).runtime.db.transaction() as tx:
        tx.execute(
            """UPDATE sink_cursors SET detail = '{"trouble": "broker 10.0.0.7 is gone"}' WHERE sink = 'kafka'"""
        )

    def kafka() -> dict[str, Any]:
        checks: dict[str, Any] = client.get("/health").get_json()["checks"]["kafka"]
        return checks

    deadline = time.monotonic() + 5  # an answer is shared for half a second
    while kafka()["status"] != "unhealthy" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert kafka()["status"] == "unhealthy"
    assert "10.0.0.7" not in kafka()["detail"]
    assert client.get("/health").status_code == 200
