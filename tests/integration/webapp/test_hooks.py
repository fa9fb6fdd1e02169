"""Hooks over HTTP: accepted durably and once, listed in pages, shown, replayed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tasks.hooks import demo
from tasks.hooks.handling import HookHandler
from tests.integration.webapp.support import HOOK, client_with, pointers, problem_of
from webapp.services import of

# Importing it registered its handler, as in a worker.
DEMO_HANDLER = demo.fail_as_told


def handle_all(app: Flask) -> None:
    """What a worker does with what waits."""
    with of(app).runtime.db.transaction() as tx:
        tx.execute("UPDATE inbox SET state = 'handled', version = version + 1, finished_at = now()")


def test_an_accepted_hook_is_a_row_before_the_answer(client: FlaskClient, rows: Any) -> None:
    response = client.post("/hooks", json={**HOOK, "data": {"port": 8080}, "current_state": "up"})
    assert response.status_code == 202
    body = response.get_json()
    assert set(body) == {
        "success", "message", "event_id", "duplicate", "processing_time_ms", "errors", "links"
    }  # fmt: skip
    assert body["success"] is True
    assert body["duplicate"] is False
    assert body["errors"] == []
    assert body["processing_time_ms"] > 0
    assert response.headers["Location"] == body["links"]["self"] == f"/hooks/{body['event_id']}"
    [row] = rows("SELECT * FROM inbox")
    assert row["id"] == UUID(body["event_id"])
    assert row["state"] == "received"
    assert row["body"]["data"] == {"port": 8080}
    assert row["body"]["version"] == "1.0.0"
    assert row["environment"] == "development"
    assert row["correlation_id"] == response.headers["X-Correlation-ID"]


def test_the_hook_s_own_correlation_id_goes_first(client: FlaskClient, rows: Any) -> None:
    client.post("/hooks", json={**HOOK, "correlation_id": "mine:1"}, headers={"X-Correlation-ID": "yours"})
    assert [row["correlation_id"] for row in rows("SELECT correlation_id FROM inbox")] == ["mine:1"]


def test_unicode_and_large_numbers_survive_the_way(client: FlaskClient) -> None:
    data = {
        "ключ": "значение 🎉",
        "big": 2**63 - 1,
        "bigger": 2**64 - 1,
        "small": -(2**63),
        "real": 0.1,
        "": [None, True],
    }
    accepted = client.post("/hooks", json={**HOOK, "data": data}).get_json()
    shown = client.get(accepted["links"]["self"]).get_json()
    assert shown["body"]["data"] == data


class TestIdempotency:
    def test_a_repeat_gets_the_first_answer_again(self, client: FlaskClient, rows: Any) -> None:
        headers = {"Idempotency-Key": "delivery-1"}
        first = client.post("/hooks", json=HOOK, headers=headers).get_json()
        again = client.post("/hooks", json=dict(reversed(HOOK.items())), headers=headers)
        assert again.status_code == 202
        assert again.get_json()["event_id"] == first["event_id"]
        assert again.get_json()["duplicate"] is True
        assert rows("SELECT count(*) AS count FROM inbox") == [{"count": 1}]

    def test_a_quoted_key_is_the_same_key(self, client: FlaskClient) -> None:
        first = client.post("/hooks", json=HOOK, headers={"Idempotency-Key": "delivery-1"}).get_json()
        again = client.post("/hooks", json=HOOK, headers={"Idempotency-Key": '"delivery-1"'}).get_json()
        assert again["event_id"] == first["event_id"]

    def test_another_body_is_refused(self, client: FlaskClient) -> None:
        headers = {"Idempotency-Key": "delivery-1"}
        client.post("/hooks", json=HOOK, headers=headers)
        response = client.post("/hooks", json={**HOOK, "action": "shutdown"}, headers=headers)
        assert problem_of(response, 422)["code"] == "IDEMPOTENCY_1"

    def test_sources_do_not_share_keys(self, client: FlaskClient) -> None:
        headers = {"Idempotency-Key": "delivery-1"}
        first = client.post("/hooks", json=HOOK, headers=headers).get_json()
        other = client.post("/hooks", json={**HOOK, "source": "other"}, headers=headers).get_json()
        assert other["event_id"] != first["event_id"]
        assert other["duplicate"] is False

    def test_simultaneous_repeats_make_one_row(self, app: Flask, client: FlaskClient, rows: Any) -> None:
        authorization = client.environ_base["HTTP_AUTHORIZATION"]

        def post(_: int) -> dict[str, Any]:
            headers = {"Idempotency-Key": "race", "Authorization": authorization}
            response = app.test_client().post("/hooks", json=HOOK, headers=headers)
            assert response.status_code == 202
            body: dict[str, Any] = response.get_json()
            return body

        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(post, range(24)))
        assert len({answer["event_id"] for answer in answers}) == 1
        assert [answer["duplicate"] for answer in answers].count(False) == 1
        assert rows("SELECT count(*) AS count FROM inbox") == [{"count": 1}]

    def test_a_bad_key_is_refused(self, client: FlaskClient, rows: Any, subtests: pytest.Subtests) -> None:
        cases = ['"unended', '""', "x" * 256, "naïve"]
        for key in cases:
            with subtests.test(key=key):
                response = client.post("/hooks", json=HOOK, headers={"Idempotency-Key": key})
                assert pointers(problem_of(response, 422)) == ["/Idempotency-Key"]
                assert rows("SELECT count(*) AS count FROM inbox") == [{"count": 0}]


class TestList:
    def test_pages_hold_every_hook_once_newest_first(self, client: FlaskClient) -> None:
        posted = [
            client.post("/hooks", json={**HOOK, "resource_id": str(number)}).get_json()["event_id"]
            for number in range(7)
        ]
        seen: list[str] = []
        link: str | None = "/hooks?limit=3&source=billing-api"
        pages = 0
        while link:
            page = client.get(link).get_json()
            seen += [item["id"] for item in page["items"]]
            link, pages = page["next"], pages + 1
            assert link is None or "source=billing-api" in link
        assert seen == posted[::-1]
        assert pages == 3

    def test_filters(self, app: Flask, client: FlaskClient) -> None:
        started = datetime.now(UTC)
        client.post("/hooks", json=HOOK)
        client.post("/hooks", json={**HOOK, "source": "other", "action": "shutdown"})

        def count(**query: str) -> int:
            response = client.get("/hooks", query_string=query)
            assert response.status_code == 200, response.get_data(as_text=True)
            return len(response.get_json()["items"])

        assert count() == 2
        assert count(source="other") == 1
        assert count(type="service-startup") == 1
        assert count(type="service-shutdown", source="billing-api") == 0
        assert count(state="received") == 2
        assert count(state="dead") == 0
        before, after = started - timedelta(minutes=5), started + timedelta(minutes=5)
        assert count(since=before.isoformat()) == 2
        assert count(since=after.isoformat()) == 0
        assert count(until=before.isoformat()) == 0
        assert count(since=before.isoformat(), until=after.isoformat()) == 2
        assert count(since=after.isoformat(), until=before.isoformat()) == 0
        assert count(since="0001-01-01T00:00:00+23:59", until="9999-12-31T23:59:59-23:59") == 2
        assert count(since="2001-01-01T00:00:00-23:59", until="2301-01-01T00:00:00+23:59") == 2

    def test_a_bad_query_is_refused(self, client: FlaskClient, subtests: pytest.Subtests) -> None:
        cases = [
            ("limit=0", "/limit"),
            ("limit=1001", "/limit"),
            ("limit=ten", "/limit"),
            ("state=sleeping", "/state"),
            ("since=yesterday", "/since"),
            ("since=2026-01-01T00:00:00", "/since"),
            ("cursor=AAAA", "/cursor"),
            ("cursor=%00", "/cursor"),
            ("source=a%00b", "/source"),
            ("type=a%00b", "/type"),
            ("colour=red", "/colour"),
            ("api_key=omni_x", "/api_key"),
        ]
        for query, pointer in cases:
            with subtests.test(query=query, pointer=pointer):
                assert pointer in pointers(problem_of(client.get(f"/hooks?{query}"), 422))

    def test_cursors_of_another_list_are_refused(self, client: FlaskClient) -> None:
        from tasks.paging import encode_cursor

        problem_of(client.get("/hooks", query_string={"cursor": encode_cursor("not-an-id")}), 422)
        problem_of(client.get("/hooks", query_string={"cursor": encode_cursor("a", "b")}), 422)


class TestOne:
    def test_it_is_shown_with_its_journal(self, client: FlaskClient) -> None:
        accepted = client.post("/hooks", json=HOOK).get_json()
        shown = client.get(accepted["links"]["self"]).get_json()
        assert shown["id"] == accepted["event_id"]
        assert shown["attempts"] == []
        assert [entry["event_type"] for entry in shown["journal"]] == ["hook-received"]
        assert "body_digest" not in shown
        assert "lease_token" not in shown

    def test_an_unknown_one_is_not_found(self, client: FlaskClient) -> None:
        assert problem_of(client.get("/hooks/00000000-0000-7000-8000-000000000000"), 404)["code"] == "RESOURCE_1"

    def test_what_is_no_id_is_not_found(self, client: FlaskClient, subtests: pytest.Subtests) -> None:
        cases = ["/hooks/x", "/hooks/%00", "/hooks/%ff", "/hooks/"]
        for path in cases:
            with subtests.test(path=path):
                problem_of(client.get(path), 404)


class TestReplay:
    def test_a_handled_hook_goes_again_and_the_act_is_audited(
        self, app: Flask, client: FlaskClient, rows: Any
    ) -> None:
        accepted = client.post("/hooks", json=HOOK).get_json()
        handle_all(app)
        response = client.post(accepted["links"]["replay"])
        assert response.status_code == 202
        assert response.get_json()["state"] == "received"
        assert response.get_json()["previous_state"] == "handled"
        assert rows("SELECT state, attempt FROM inbox") == [{"state": "received", "attempt": 0}]
        [act] = rows("SELECT * FROM security_audit_log WHERE code = 'hook-replayed'")
        assert act["kind"] == "admin"
        assert accepted["event_id"] in act["detail"]
        assert act["correlation_id"] == response.headers["X-Correlation-ID"]

    def test_a_waiting_hook_can_t_be_replayed(self, client: FlaskClient, rows: Any) -> None:
        accepted = client.post("/hooks", json=HOOK).get_json()
        assert problem_of(client.post(accepted["links"]["replay"]), 409)["code"] == "RESOURCE_2"
        assert rows("SELECT * FROM security_audit_log WHERE code = 'hook-replayed'") == []

    def test_an_unknown_hook_can_t_be_replayed(self, client: FlaskClient) -> None:
        problem_of(client.post("/hooks/00000000-0000-7000-8000-000000000000/replay"), 404)

    def test_a_reader_may_not(self, app: Flask, client: FlaskClient) -> None:
        accepted = client.post("/hooks", json=HOOK).get_json()
        problem_of(client_with(app, "hooks:read").post(accepted["links"]["replay"]), 403)

    def test_many_by_filter_or_by_ids(self, app: Flask, client: FlaskClient, rows: Any) -> None:
        def post(source: str, resource: str = "order") -> str:
            body = {**HOOK, "source": source, "resource": resource, "action": "fail", "data": {"refuse": True}}
            return str(client.post("/hooks", json=body).get_json()["event_id"])

        dead = [post("a", "demo"), post("b", "demo"), post("a", "demo")]
        good = [post("a"), post("b")]
        assert HookHandler(of(app).runtime.db, of(app).settings).handle_due() == 5
        waiting = post("a")

        def replay(**chosen: Any) -> list[str]:
            response = client.post("/hooks/replay", json=chosen)
            assert response.status_code == 202, response.get_data(as_text=True)
            answer = response.get_json()
            assert answer["replayed"] == len(answer["items"])
            return [item["id"] for item in answer["items"]]

        assert replay(source="a", limit=1) == dead[:1]
        assert replay(source="a", since="2000-01-01T00:00:00Z") == dead[2:]
        assert replay(source="a") == []
        assert replay(ids=[good[1], waiting, str(uuid4())]) == good[1:]
        assert replay(until="2000-01-01T00:00:00Z") == []
        assert replay(state="handled", type="demo-fail") == []
        states = {str(row["id"]): row["state"] for row in rows("SELECT id, state FROM inbox")}
        assert states == {
            **dict.fromkeys([dead[0], dead[2], good[1], waiting], "received"), dead[1]: "dead", good[0]: "handled"
        }  # fmt: skip
        told = rows(
            "SELECT aggregate_id, payload ->> 'from' AS old FROM journal WHERE payload ->> 'reason' = 'replay'"
            " AND version = (SELECT version FROM inbox WHERE id::text = aggregate_id) ORDER BY id"
        )
        assert [(row["aggregate_id"], row["old"]) for row in told] == [
            (dead[0], "dead"), (dead[2], "dead"), (good[1], "handled")
        ]  # fmt: skip
        acts = rows("SELECT detail FROM security_audit_log WHERE code = 'hook-replayed' ORDER BY id")
        assert [act["detail"].split(",")[0] for act in acts] == ["1 hooks"] * 3

    def test_a_filter_must_say_something_that_can_be_replayed(self, client: FlaskClient) -> None:
        cases: list[tuple[dict[str, Any], str]] = [
            ({}, ""),
            ({"state": "received"}, "/state"),
            ({"ids": []}, "/ids"),
            ({"ids": ["x"]}, "/ids/0"),
            ({"source": "a", "limit": 10_001}, "/limit"),
            ({"source": "a", "limit": "1"}, "/limit"),
            ({"since": "yesterday"}, "/since"),
            ({"source": "a", "colour": "red"}, "/colour"),
        ]
        for body, pointer in cases:
            assert pointers(problem_of(client.post("/hooks/replay", json=body), 422)) == [pointer]
