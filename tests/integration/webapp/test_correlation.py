"""The correlation id: taken, made, echoed on every kind of answer, and bound for rows."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.integration.webapp.support import HOOK

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Correlation-ID": "a-1"}, "a-1"),
        ({"X-Request-ID": "b-1"}, "b-1"),
        ({"X-Trace-ID": "c-1"}, "c-1"),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, TRACE),
        ({"X-Correlation-ID": "a-1", "X-Request-ID": "b-1"}, "a-1"),
        ({"X-Correlation-ID": "bad value", "X-Request-ID": "b-1"}, "b-1"),
    ],
)
def test_it_is_taken_and_echoed(client: FlaskClient, rows: Any, headers: dict[str, str], expected: str) -> None:
    response = client.post("/hooks", json=HOOK, headers=headers)
    assert response.headers["X-Correlation-ID"] == expected
    journal = rows("SELECT correlation_id FROM journal WHERE aggregate_type <> 'audit'")
    assert [row["correlation_id"] for row in journal] == [expected]


def test_a_bad_one_is_replaced_and_never_echoed(anonymous: FlaskClient, subtests: pytest.Subtests) -> None:
    cases = ["", " ", "a b", "x" * 129, "<script>", "é", 'a"b', "a;b"]
    for value in cases:
        with subtests.test(value=value):
            echoed = anonymous.get("/", headers={"X-Correlation-ID": value}).headers["X-Correlation-ID"]
            assert echoed != value
            assert len(echoed) == 36


def test_every_answer_has_one(anonymous: FlaskClient, subtests: pytest.Subtests) -> None:
    cases = ["/", "/nowhere", "/hooks", "/health", "/metrics", "/openapi.json", "/docs", "/docs/assets/docs.js"]
    for path in cases:
        with subtests.test(path=path):
            assert anonymous.get(path, headers={"X-Correlation-ID": "mine"}).headers["X-Correlation-ID"] == "mine"
            first = anonymous.get(path).headers["X-Correlation-ID"]
            second = anonymous.get(path).headers["X-Correlation-ID"]
            assert first != second
