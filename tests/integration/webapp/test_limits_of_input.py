"""What is just within the limits is accepted."""

from __future__ import annotations

import orjson
from flask.testing import FlaskClient

from tests.integration.webapp.support import HOOK


def test_the_largest_body(client: FlaskClient) -> None:
    empty = len(orjson.dumps({**HOOK, "data": {"x": ""}}))
    body = orjson.dumps({**HOOK, "data": {"x": "y" * ((1 << 20) - empty)}})
    assert len(body) == 1 << 20
    assert client.post("/hooks", data=body, content_type="application/json").status_code == 202


def test_the_deepest_body(client: FlaskClient) -> None:
    deep = 1
    for _ in range(62):
        deep = {"a": deep}  # type: ignore[assignment]
    assert client.post("/hooks", json={**HOOK, "data": deep}).status_code == 202


def test_many_shallow_objects(client: FlaskClient) -> None:
    assert client.post("/hooks", json={**HOOK, "data": {"a": [{} for _ in range(500)]}}).status_code == 202


def test_the_longest_names(client: FlaskClient) -> None:
    names = dict.fromkeys(("source", "action", "resource", "resource_id"), "é" * 200)
    assert client.post("/hooks", json=names).status_code == 202
    assert len(client.get("/hooks", query_string={"source": "é" * 200}).get_json()["items"]) == 1


def test_content_type_with_a_charset(client: FlaskClient) -> None:
    body = orjson.dumps(HOOK)
    assert client.post("/hooks", data=body, content_type='application/json; charset="UTF-8"').status_code == 202
