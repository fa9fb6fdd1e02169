"""Steps of the kind http against a site on the loopback: what goes out, what comes back, and every bound."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.workflows.attempt import Attempt, Refused, StepError
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.kinds import http
from tests.integration.tasks.workflows.kinds.conftest import MakeAttempt
from tests.integration.tasks.workflows.kinds.site import Exchange, Site

LOCAL = {"WORKFLOW_HTTP_ALLOW_PRIVATE": "127.0.0.0/8"}


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture
def attempt(make_attempt: MakeAttempt) -> Attempt:
    return make_attempt(LOCAL)


def silent(exchange: Exchange) -> None:
    exchange.closing.wait(20)


def failure(attempt: Attempt, **arguments: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        http.run(attempt, arguments)
    return caught.value


def test_it_is_what_runs_the_kind() -> None:
    assert KINDS.runners["http"] is http.run


def test_a_request_and_its_answer(attempt: Attempt, site: Site) -> None:
    @site.page("/orders")
    def orders(exchange: Exchange) -> None:
        exchange.reply(201, b'{"id": 7}', Content_Type="application/problem+json", Set_Cookie="session=1", X_A="b")

    output = http.run(
        attempt,
        {"url": site.url("/orders?a=1"), "json": {"n": [1, "é"]}, "query": {"b": "x y"}, "headers": {"X-Own": "o"}},
    )
    assert output["status"] == 201
    assert output["body"] == {"id": 7}
    assert output["headers"]["x-a"] == "b"
    assert "set-cookie" not in output["headers"]
    [seen] = site.seen
    assert (seen.method, seen.target) == ("POST", "/orders?a=1&b=x+y")
    assert json.loads(seen.body) == {"n": [1, "é"]}
    assert seen.headers["host"] == f"127.0.0.1:{site.port}"
    assert seen.headers["x-own"] == "o"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["idempotency-key"] == attempt.idempotency_key
    assert seen.headers["x-correlation-id"] == "c-1"
    assert "traceparent" not in seen.headers


def test_what_is_traced_stays_so(make_attempt: MakeAttempt, site: Site) -> None:
    site.page("/")(lambda exchange: exchange.reply())
    trace = "0af7651916cd43dd8448eb211c80319c"
    http.run(make_attempt(LOCAL, correlation_id=trace), {"url": site.url("/")})
    assert site.seen[0].headers["traceparent"].split("-")[1] == trace
    assert "idempotency-key" not in site.seen[0].headers


@pytest.mark.parametrize(
    ("kind", "content", "body"),
    [
        ("text/plain", "é".encode(), "é"),
        ("text/plain; charset=latin-1", "é".encode("latin-1"), "é"),
        ("application/octet-stream", b"\xff\x00", {"base64": "/wA="}),
        ("text/plain", b"a\x00b", {"base64": "YQBi"}),
        ("text/plain; charset=hex", b"aa", {"base64": "YWE="}),
        ("application/json", b"{broken", "{broken"),
        ("text/html", b"", None),
    ],
)
def test_a_body_is_what_it_is(attempt: Attempt, site: Site, kind: str, content: bytes, body: Any) -> None:
    site.page("/")(lambda exchange: exchange.reply(200, content, Content_Type=kind))
    assert http.run(attempt, {"url": site.url("/")})["body"] == body


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (404, False), (408, True), (429, True), (500, True), (501, False), (503, True)],
)
def test_a_status_that_is_not_expected(attempt: Attempt, site: Site, status: int, retryable: bool) -> None:
    site.page("/")(lambda exchange: exchange.reply(status, b"no such\nthing", Retry_After="7"))
    error = failure(attempt, url=site.url("/"))
    assert error.error_type == f"HttpStatus{status}"
    assert error.retryable is retryable
    assert error.retry_after_s == (7 if retryable else None)
    assert str(error) == f"127.0.0.1 answered with {status}: no such thing"


def test_a_status_that_is_expected(attempt: Attempt, site: Site) -> None:
    site.page("/")(lambda exchange: exchange.reply(404))
    assert http.run(attempt, {"url": site.url("/"), "expect_status": [200, 404]})["status"] == 404
    site.page("/")(lambda exchange: exchange.reply(200))
    assert failure(attempt, url=site.url("/"), expect_status=[404]).error_type == "HttpStatus200"


def test_redirects_are_followed_and_end(attempt: Attempt, site: Site) -> None:
    site.page("/a")(lambda exchange: exchange.reply(302, Location="/b"))
    site.page("/b")(lambda exchange: exchange.reply(200, b"here"))
    site.page("/round")(lambda exchange: exchange.reply(307, Location="/round"))
    assert http.run(attempt, {"url": site.url("/a"), "body": "x"})["body"] == "here"
    assert [(one.method, one.body) for one in site.seen] == [("POST", b"x"), ("GET", b"")]
    site.seen.clear()
    error = failure(attempt, url=site.url("/round"), max_redirects=3)
    assert (error.error_type, error.retryable, len(site.seen)) == ("TooManyRedirects", False, 4)
    assert failure(attempt, url=site.url("/a"), max_redirects=0).error_type == "HttpStatus302"
    assert http.run(attempt, {"url": site.url("/a"), "expect_status": [302]})["headers"]["location"] == "/b"


def test_a_redirect_is_checked_as_the_first_request_is(make_attempt: MakeAttempt, site: Site) -> None:
    site.page("/out")(lambda exchange: exchange.reply(302, Location=f"http://127.0.0.2:{site.port}/"))
    site.page("/name")(lambda exchange: exchange.reply(302, Location=f"http://localhost:{site.port}/"))
    attempt = make_attempt({"WORKFLOW_HTTP_ALLOW_PRIVATE": "127.0.0.1", "WORKFLOW_HTTP_ALLOWED_HOSTS": "127.0.0.*"})
    assert failure(attempt, url=site.url("/out")).error_type == "AddressNotAllowed"
    assert failure(attempt, url=site.url("/name")).error_type == "HostNotAllowed"
    assert len(site.seen) == 2


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "[::1]",
             "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "169.254.169.254", "[fe80::1]"],
)  # fmt: skip
def test_private_addresses_are_refused_in_any_form(make_attempt: MakeAttempt, site: Site, host: str) -> None:
    error = failure(make_attempt(), url=f"http://{host}:{site.port}/")
    assert isinstance(error, Refused)
    assert error.error_type == "AddressNotAllowed"
    assert site.seen == []


def test_hosts_that_are_not_on_the_list_are_not_even_looked_up(make_attempt: MakeAttempt) -> None:
    attempt = make_attempt({**LOCAL, "WORKFLOW_HTTP_ALLOWED_HOSTS": "*.shop.example"})
    assert failure(attempt, url="http://127.0.0.1/").error_type == "HostNotAllowed"
    assert failure(attempt, url="https://user:hush@api.shop.example/").error_type == "InvalidUrl"


def test_proxies_of_the_environment_are_not_used(
    attempt: Attempt, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    site.page("/")(lambda exchange: exchange.reply(200, b"direct"))
    assert http.run(attempt, {"url": site.url("/")})["body"] == "direct"


def test_the_time_is_for_the_whole_exchange(attempt: Attempt, site: Site) -> None:
    site.page("/silent")(silent)
    site.page("/headers")(lambda exchange: exchange.drip(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1000, 0.02))

    @site.page("/body")
    def body(exchange: Exchange) -> None:
        exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        exchange.drip(b"y" * 999, 0.02)

    @site.page("/chunks")
    def chunks(exchange: Exchange) -> None:
        exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        exchange.drip(b"1\r\nz\r\n" * 999, 0.02)

    for path in ("/silent", "/headers", "/body", "/chunks"):
        error = failure(attempt, url=site.url(path), timeout_s=0.4)
        assert (path, error.error_type, error.retryable) == (path, "Timeout", True)


def test_the_attempts_deadline_holds_too(make_attempt: MakeAttempt, site: Site) -> None:
    site.page("/")(silent)
    assert failure(make_attempt(LOCAL, seconds=0.3), url=site.url("/"), timeout_s=60).error_type == "Timeout"


def test_nobody_listens(attempt: Attempt) -> None:
    error = failure(attempt, url="http://127.0.0.1:1/")
    assert (error.error_type, error.retryable) == ("ConnectionFailed", True)
    error = failure(attempt, url="http://nobody.invalid/", connect_timeout_s=10)
    assert error.error_type in ("HostUnknown", "ConnectTimeout")


def bomb(zeros: int) -> bytes:
    return gzip.compress(bytes(zeros), 9)


def test_an_answer_has_a_size_compressed_or_not(attempt: Attempt, site: Site) -> None:
    small = bomb(200_000_000)
    assert len(small) < 200_000
    site.page("/bomb")(lambda exchange: exchange.reply(200, small, Content_Encoding="gzip"))
    site.page("/large")(lambda exchange: exchange.reply(200, b"x" * 50_001))

    @site.page("/endless")
    def endless(exchange: Exchange) -> None:
        exchange.raw(b"HTTP/1.1 200 OK\r\n\r\n")
        while not exchange.closing.is_set():
            exchange.raw(b"x" * 9999)

    tracemalloc.start()
    for path in ("/bomb", "/large", "/endless"):
        error = failure(attempt, url=site.url(path), max_bytes=50_000)
        assert (path, error.error_type, error.retryable) == (path, "AnswerTooLarge", False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    site.page("/fits")(lambda exchange: exchange.reply(200, bomb(50_000), Content_Encoding="gzip"))
    assert http.run(attempt, {"url": site.url("/fits"), "max_bytes": 50_000})["status"] == 200


def test_headers_have_a_size(attempt: Attempt, site: Site) -> None:
    lines = "".join(f"H-{n}: {'x' * 1000}\r\n" for n in range(90))
    site.page("/many")(lambda exchange: exchange.raw(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode()))
    site.page("/long")(lambda exchange: exchange.raw(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n"))
    assert failure(attempt, url=site.url("/many")).error_type == "AnswerTooLarge"
    assert failure(attempt, url=site.url("/long")).error_type == "BadAnswer"


def test_what_is_no_http_is_told(attempt: Attempt, site: Site) -> None:
    site.page("/junk")(lambda exchange: exchange.raw(b"SSH-2.0\r\n\r\n"))
    site.page("/gone")(lambda exchange: None)
    site.page("/cut")(lambda exchange: exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"))
    site.page("/squeezed")(lambda exchange: exchange.reply(200, b"not gzip", Content_Encoding="gzip"))
    types = [failure(attempt, url=site.url(path)).error_type for path in ("/junk", "/gone", "/cut", "/squeezed")]
    assert types[0] == types[3] == "BadAnswer"
    assert {*types[1:3]} <= {"BadAnswer", "ConnectionFailed"}


def test_headers_that_none_may_have(attempt: Attempt, site: Site) -> None:
    for value in ("a\r\nX: y", "snow ☃"):
        assert failure(attempt, url=site.url("/"), headers={"X-A": value}).error_type == "InvalidRequest"
    assert site.seen == []
