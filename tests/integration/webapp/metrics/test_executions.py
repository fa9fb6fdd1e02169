"""Executions over HTTP: a batch, its errors item by item, repeats, gzip, and the way to what is asked of them."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from flask import Flask
from flask.testing import FlaskClient

from tasks.metrics.applying import Applier
from tests.integration.webapp.support import client_with, problem_of
from webapp.services import of

STARTED = (datetime.now(UTC) - timedelta(hours=2)).isoformat()


def execution(name: str, **more: Any) -> dict[str, Any]:
    """A valid execution."""
    return {
        "execution_id": name,
        "model": "m-1",
        "task_type": "testing",
        "started_at": STARTED,
        "latency_ms": 100.0,
        "input_tokens": 3,
        "output_tokens": 4,
        "success": True,
        **more,
    }


def post(client: FlaskClient, executions: list[Any], **more: Any) -> dict[str, Any]:
    response = client.post("/metrics/executions", json={"executions": executions}, **more)
    assert response.status_code == 207, response.get_data(as_text=True)
    answer: dict[str, Any] = response.get_json()
    return answer


def test_a_bad_one_fails_alone_and_a_repeat_counts_once(app: Flask) -> None:
    client = client_with(app, "metrics:write", "metrics:read")
    bad = execution("b", latency_ms=-1)
    first = post(client, [execution("a"), bad, execution("c", latency_ms=300.0), execution("a")])
    assert [(one["index"], one["id"], one["duplicate"]) for one in first["successes"]] == [
        (0, "a", False),
        (2, "c", False),
        (3, "a", True),
    ]
    [error] = first["errors"]
    assert (error["index"], error["status"]) == (1, 422)
    assert "/latency_ms" in str(error)
    again = post(client, [execution("a", latency_ms=999.0)])
    assert again["successes"][0]["duplicate"] is True
    bridge = of(app)
    while Applier(bridge.runtime.db, bridge.settings).apply_small():
        pass
    [item] = client.get("/metrics/performance?model=m-1").get_json()["items"]
    assert (item["count"], item["latency_ms"]["mean"], item["success_rate"]) == (2, 200.0, 1.0)


def test_gzip_is_inflated_within_the_limit(app: Flask) -> None:
    client = client_with(app, "metrics:write", "metrics:read")
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    raw = gzip.compress(orjson.dumps({"executions": [execution(f"g-{n}") for n in range(50)]}))
    response = client.post("/metrics/executions", data=raw, headers=headers)
    assert (response.status_code, len(response.get_json()["successes"])) == (207, 50)
    bomb = gzip.compress(b" " * (of(app).settings.batch_body_limit_bytes + 1))
    problem_of(client.post("/metrics/executions", data=bomb, headers=headers), 413)
    problem_of(client.post("/metrics/executions", data=b"no gzip", headers=headers), 400)


def test_scope_and_size_of_a_batch(app: Flask) -> None:
    client = client_with(app, "metrics:read")
    problem_of(client.post("/metrics/executions", json={"executions": [execution("x")]}), 403)
    writer = client_with(app, "metrics:write")
    problem_of(writer.post("/metrics/executions", json={"executions": []}), 422)
    problem_of(writer.post("/metrics/executions", json={"executions": [execution("x")] * 10_001}), 422)
