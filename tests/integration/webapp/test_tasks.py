"""Mirrored tasks over HTTP: lists in pages, one with its history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tasks.ids import new_id
from tasks.paging import encode_cursor
from tasks.states.model import Transition
from tasks.states.store import apply
from tests.integration.webapp.support import pointers, problem_of
from webapp.services import of

START = datetime(2026, 1, 1, tzinfo=UTC)


def mirror(app: Flask, task_id: str, name: str, *states: str, at: datetime = START) -> None:
    """What the drain does with a task's transitions."""
    transitions = [
        Transition(new_id(), task_id, name, state, 0, at + timedelta(seconds=number), correlation_id="c-1")
        for number, state in enumerate(states)
    ]
    with of(app).runtime.db.transaction() as tx:
        apply(tx, transitions)


def test_pages_hold_every_task_once_the_last_seen_first(app: Flask, client: FlaskClient) -> None:
    ids = [str(uuid4()) for _ in range(5)]
    for number, task_id in enumerate(ids):
        mirror(app, task_id, "demo.fib", "sent", at=START + timedelta(minutes=number // 2))
    seen: list[str] = []
    link: str | None = "/tasks?limit=2&name=demo.fib"
    while link:
        page = client.get(link).get_json()
        seen += [item["task_id"] for item in page["items"]]
        link = page["next"]
    assert sorted(seen) == sorted(ids)
    assert set(seen[:1]) == {ids[4]}


def test_filters(app: Flask, client: FlaskClient) -> None:
    mirror(app, "a", "demo.fib", "sent", "received", "started", "succeeded")
    mirror(app, "b", "demo.sleep", "sent")

    def ids(**query: str) -> set[str]:
        items: list[dict[str, Any]] = client.get("/tasks", query_string=query).get_json()["items"]
        return {item["task_id"] for item in items}

    assert ids() == {"a", "b"}
    assert ids(state="succeeded") == {"a"}
    assert ids(name="demo.sleep") == {"b"}
    assert ids(name="demo.sleep", state="succeeded") == set()


def test_one_is_shown_with_its_history(app: Flask, client: FlaskClient) -> None:
    mirror(app, "weird id: ä?&#", "demo.fib", "sent", "received", "started", "failed")
    shown = client.get("/tasks/weird%20id:%20%C3%A4%3F%26%23").get_json()
    assert shown["task_id"] == "weird id: ä?&#"
    assert shown["state"] == "failed"
    assert shown["finished_at"] == "2026-01-01T00:00:03+00:00"
    assert [entry["payload"]["state"] for entry in shown["history"]] == ["sent", "received", "started", "failed"]
    assert {entry["correlation_id"] for entry in shown["history"]} == {"c-1"}


def test_what_is_not_there_or_not_asked_rightly(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for path in ("/tasks/unknown", "/tasks/a%00b", "/tasks/%ff", "/tasks/" + "x" * 256):
        with subtests.test(path=path):
            problem_of(client.get(path), 404)
    cases = [
        ("state=sleeping", "/state"),
        ("name=", "/name"),
        ("name=a%00b", "/name"),
        ("limit=0", "/limit"),
        ("cursor=x", "/cursor"),
        (f"cursor={encode_cursor('2026-01-01', 'a' + chr(0))}", "/cursor"),
    ]
    for query, pointer in cases:
        with subtests.test(query=query):
            assert set(pointers(problem_of(client.get(f"/tasks?{query}"), 422))) == {pointer}
    with subtests.test("a position of another kind"):
        problem_of(client.get(f"/tasks?cursor={encode_cursor('never', 'a')}"), 422)
