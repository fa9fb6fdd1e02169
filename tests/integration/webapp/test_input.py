"""Bad input: the right 4xx, as a problem that points at the mistake, and nothing stored."""

from __future__ import annotations

import io
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from tests.integration.webapp.support import HOOK, pointers, problem_of


def raw(client: FlaskClient, body: bytes, content_type: str = "application/json", **kwargs: Any) -> Any:
    return client.post("/hooks", data=body, content_type=content_type, **kwargs)


@pytest.fixture(autouse=True)
def _nothing_stored(rows: Any) -> Any:
    yield
    assert rows("SELECT count(*) AS count FROM inbox") == [{"count": 0}]


GOOD = orjson.dumps(HOOK)


def test_what_is_not_json_says_where(client: FlaskClient, subtests: pytest.Subtests) -> None:
    cases = [
        b"",
        b"{",
        b"not json",
        GOOD + b" x",
        GOOD[:-1],
        GOOD[:-1] + b",}",
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"startup", b"start\xffup"),
        GOOD.replace(b"startup", b"start\xed\xa0\x80up"),
        GOOD.replace(b"startup", b"start\\ud800up"),
        GOOD.replace(b"startup", b"start\x00up"),
        GOOD.replace(b"startup", b"start\nup"),
        GOOD[:-1] + b',"data":{"x":NaN}}',
        GOOD[:-1] + b',"data":{"x":Infinity}}',
        GOOD[:-1] + b',"data":{"x":1e400}}',
        GOOD[:-1] + b',"data":{"x":' + b"9" * 5000 + b"}}",
        GOOD[:-1] + b',"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 1_000_000,
    ]
    for body in cases:
        with subtests.test(body=body):
            problem = problem_of(raw(client, body), 400)
            assert problem["code"] == "INPUT_1"
            assert "line" in problem["errors"][0]["detail"]


def test_what_is_not_allowed_points_at_it(client: FlaskClient, subtests: pytest.Subtests) -> None:
    cases = [
        (b"[]", ""),
        (b'"text"', ""),
        (b"null", ""),
        (b"1", ""),
        (b"{}", "/source"),
        (GOOD[:-1] + b',"x/y~z":1}', "/x~1y~0z"),
        (GOOD[:-1] + b',"source":5}', "/source"),
        (GOOD[:-1] + b',"source":""}', "/source"),
        (GOOD[:-1] + b',"source":" a"}', "/source"),
        (GOOD[:-1] + b',"source":"a\\u0007b"}', "/source"),
        (GOOD[:-1] + b',"source":null}', "/source"),
        (GOOD[:-1] + b',"action":"' + b"a" * 201 + b'"}', "/action"),
        (GOOD[:-1] + b',"resource":{}}', "/resource"),
        (GOOD[:-1] + b',"resource_id":["x"]}', "/resource_id"),
        (GOOD[:-1] + b',"version":1}', "/version"),
        (GOOD[:-1] + b',"version":"1.0.0\\n"}', "/version"),
        (GOOD[:-1] + b',"environment":"pro duction"}', "/environment"),
        (GOOD[:-1] + b',"correlation_id":"a b"}', "/correlation_id"),
        (GOOD[:-1] + b',"data":[]}', "/data"),
        (GOOD[:-1] + b',"data":null}', "/data"),
        (GOOD[:-1] + b',"previous_state":{}}', "/previous_state"),
        (GOOD[:-1] + b',"current_state":"' + b"a" * 201 + b'"}', "/current_state"),
        (GOOD[:-1] + b',"current_state":"a\\u0000"}', "/current_state"),
        (GOOD[:-1] + b',"data":{"a":[0,"x\\u0000"]}}', "/data/a/1"),
        (GOOD[:-1] + b',"data":{"a":{"x\\u0000":1}}}', "/data/a"),
        (GOOD[:-1] + b',"data":{"n":18446744073709551616}}', "/data/n"),
        (GOOD[:-1] + b',"data":{"n":[-9223372036854775809]}}', "/data/n/0"),
        (GOOD[:-1] + b',"data":{"d":' + b'{"a":' * 63 + b"1" + b"}" * 63 + b"}}", "/data/d" + "/a" * 62),
    ]
    for body, expected in cases:
        with subtests.test(body=body, expected=expected):
            problem = problem_of(raw(client, body), 422)
            assert problem["code"] == "INPUT_2"
            assert expected in pointers(problem)


def test_every_mistake_is_told_at_once(client: FlaskClient) -> None:
    problem = problem_of(raw(client, b'{"source":1,"action":"","extra":true}'), 422)
    assert set(pointers(problem)) == {"/source", "/action", "/resource", "/resource_id", "/extra"}


def test_other_content_types_are_unsupported(client: FlaskClient, subtests: pytest.Subtests) -> None:
    cases = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "application/jsonp",
        "application/json; charset=utf-16",
    ]
    for content_type in cases:
        with subtests.test(content_type=content_type):
            assert problem_of(raw(client, GOOD, content_type), 415)["code"] == "INPUT_4"


def test_compressed_bodies_are_unsupported(client: FlaskClient) -> None:
    problem_of(raw(client, GOOD, headers={"Content-Encoding": "gzip"}), 415)


class TestTooLarge:
    def test_with_a_length(self, client: FlaskClient) -> None:
        body = orjson.dumps({**HOOK, "data": {"x": "y" * (1 << 20)}})
        assert problem_of(raw(client, body), 413)["code"] == "INPUT_3"

    def test_chunked(self, client: FlaskClient) -> None:
        body = orjson.dumps({**HOOK, "data": {"x": "y" * (1 << 20)}})
        response = client.post(
            "/hooks",
            input_stream=io.BytesIO(body),
            content_type="application/json",
            environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
        )
        problem_of(response, 413)

    def test_batch(self, client: FlaskClient) -> None:
        body = orjson.dumps([{**HOOK, "data": {"x": "y" * (8 << 20)}}])
        problem_of(client.post("/hooks/batch", data=body, content_type="application/json"), 413)


def test_problems_of_routing(client: FlaskClient) -> None:
    assert problem_of(client.get("/nowhere"), 404)["code"] == "HTTP_404"
    refused = client.delete("/hooks")
    assert problem_of(refused, 405)["code"] == "HTTP_405"
    assert "POST" in refused.headers["Allow"]
    problem_of(client.open("/hooks", method="BREW"), 405)


def test_a_name_that_stands_twice_is_no_riddle_for_the_reader(client: FlaskClient) -> None:
    """One reader takes the first, another the last: what was checked before may not be what is stored here."""
    for body, pointer in (
        (GOOD[:-1] + b',"action":"shutdown"}', "/action"),
        (GOOD[:-1] + b',"data":{"a":[{"b":1,"b":1}]}}', "/data/a/0/b"),
    ):
        assert pointers(problem_of(raw(client, body), 422)) == [pointer]
    batch = client.post("/hooks/batch", data=b"[" + GOOD[:-1] + b',"action":"x"}]', content_type="application/json")
    assert pointers(problem_of(batch, 422)) == ["/0/action"]


def test_what_is_deep_and_holds_a_long_number_is_refused(client: FlaskClient) -> None:
    problem_of(raw(client, b"[" * 1000 + b"1" * 30 + b"]" * 1000), 400)
