"""Batches: one commit, and each item for itself."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.integration.webapp.support import HOOK, pointers, problem_of


def events(count: int) -> list[dict[str, Any]]:
    return [{**HOOK, "resource_id": str(number)} for number in range(count)]


@pytest.mark.parametrize("wrap", [lambda items: {"events": items}, lambda items: items])
def test_good_items_are_stored_and_bad_ones_fail_alone(client: FlaskClient, rows: Any, wrap: Any) -> None:
    items: list[Any] = events(5)
    items[1] = {**HOOK, "source": 7}
    items[3] = "no event"
    response = client.post("/hooks/batch", json=wrap(items))
    assert response.status_code == 207
    body = response.get_json()
    assert [item["index"] for item in body["successes"]] == [0, 2, 4]
    assert {item["status"] for item in body["successes"]} == {202}
    assert [item["index"] for item in body["errors"]] == [1, 3]
    assert [item["status"] for item in body["errors"]] == [422, 422]
    assert pointers(body["errors"][0]) == ["/source"]
    stored = {str(row["id"]) for row in rows("SELECT id FROM inbox")}
    assert stored == {item["id"] for item in body["successes"]}


def test_only_the_item_that_can_t_be_stored_fails(client: FlaskClient) -> None:
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    items = [
        {**HOOK, "data": {"x": "a\x00"}},
        {**HOOK, "data": {"x": deep}},
        {**HOOK, "data": {"x": 2**64}},
        HOOK,
    ]
    body = client.post("/hooks/batch", json=items).get_json()
    assert [item["index"] for item in body["successes"]] == [3]
    assert [pointers(item)[0][:7] for item in body["errors"]] == ["/data/x"] * 3


def test_a_batch_of_a_thousand(client: FlaskClient, rows: Any) -> None:
    body = client.post("/hooks/batch", json={"events": events(1000)}).get_json()
    assert len(body["successes"]) == 1000
    assert rows("SELECT count(*) AS count FROM inbox") == [{"count": 1000}]
    problem = problem_of(client.post("/hooks/batch", json={"events": events(1001)}), 422)
    assert pointers(problem) == ["/events"]


def test_an_idempotency_key_holds_for_each_item(client: FlaskClient, rows: Any) -> None:
    headers = {"Idempotency-Key": "batch-1"}
    first = client.post("/hooks/batch", json=events(3), headers=headers).get_json()
    changed = events(3)
    changed[2]["action"] = "shutdown"
    again = client.post("/hooks/batch", json=changed, headers=headers).get_json()
    assert [item["id"] for item in again["successes"]] == [item["id"] for item in first["successes"]][:2]
    assert all(item["duplicate"] for item in again["successes"])
    assert [(item["index"], item["code"]) for item in again["errors"]] == [(2, "IDEMPOTENCY_1")]
    assert rows("SELECT count(*) AS count FROM inbox") == [{"count": 3}]


def test_all_bad_is_still_an_answer_for_each(client: FlaskClient, rows: Any) -> None:
    body = client.post("/hooks/batch", json=[{}, {}]).get_json()
    assert body["successes"] == []
    assert len(body["errors"]) == 2


def test_what_is_no_batch_is_refused(client: FlaskClient, subtests: pytest.Subtests) -> None:
    cases = [
        ({}, "/events"),
        ([], ""),
        ({"events": []}, "/events"),
        ({"events": {}}, "/events"),
        ({"events": [HOOK], "more": 1}, "/more"),
        ("text", ""),
        (7, ""),
    ]
    for body, pointer in cases:
        with subtests.test(body=body, pointer=pointer):
            assert pointer in pointers(problem_of(client.post("/hooks/batch", json=body), 422))


def test_what_is_not_json_is_refused(client: FlaskClient) -> None:
    problem_of(client.post("/hooks/batch", data=b"[", content_type="application/json"), 400)
