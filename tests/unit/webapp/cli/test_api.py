"""The HTTP client: the same key in every try, and answers in words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from webapp.cli import omninode
from webapp.cli.api import ApiClient, ApiRefused, ApiUnreachable


class Bridge:
    """A server that gives the answers it was told, and remembers the requests."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.keys: list[str | None] = []
        bridge = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                bridge.keys.append(self.headers["Idempotency-Key"])
                status, headers, body = bridge.answers.pop(0)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    made = Bridge()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def client(bridge: Bridge) -> Iterator[ApiClient]:
    made = ApiClient(bridge.url, "omni_key")
    yield made
    made.close()


def test_a_busy_bridge_is_asked_again_under_the_same_key(bridge: Bridge, client: ApiClient) -> None:
    bridge.answers = [(503, {"Retry-After": "0"}, b"{}"), (429, {}, b"{}"), (202, {}, b'{"event_id": "x"}')]
    answer = client.post_hook({}, "key-1", patience_s=10)
    assert (answer.body, answer.tries) == ({"event_id": "x"}, 3)
    assert bridge.keys == ["key-1"] * 3


def test_without_patience_a_busy_bridge_is_a_refusal(bridge: Bridge, client: ApiClient) -> None:
    bridge.answers = [(503, {}, b'{"detail": "PostgreSQL is away."}')]
    with pytest.raises(ApiRefused, match=r"answered 503: PostgreSQL is away\.") as caught:
        client.post_hook({}, None)
    assert caught.value.answer_status == 503


def test_a_problem_is_not_tried_again_and_keeps_its_field_errors(bridge: Bridge, client: ApiClient) -> None:
    bridge.answers = [(422, {}, b'{"detail": "Bad.", "errors": [{"pointer": "/source", "detail": "missing"}]}')]
    with pytest.raises(ApiRefused) as caught:
        client.post_hook({}, "k", patience_s=10)
    assert [(error.pointer, error.detail) for error in caught.value.errors] == [("/source", "missing")]


def test_an_answer_that_is_not_json_is_a_refusal_too(bridge: Bridge, client: ApiClient) -> None:
    bridge.answers = [(500, {}, b"<html>")]
    with pytest.raises(ApiRefused, match="no reason given"):
        client.post_hook({}, "k")


def test_nobody_there_is_said_with_the_address() -> None:
    client = ApiClient("http://127.0.0.1:1", "k")
    with pytest.raises(ApiUnreachable, match=r"http://127\.0\.0\.1:1 does not answer"):
        client.post_hook({}, "k", patience_s=0.3)
    client.close()


SEND = ["hooks", "send", "--source", "a", "--action", "b", "--resource", "c", "--resource-id", "d"]


def test_an_address_and_a_key_are_enough(bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = {"DATABASE_URL": None, "REDIS_URL": None, "OMNINODE_STACK_DIR": None}
    bridge.answers = [(202, {}, b'{"event_id": "x"}')] * 2
    known = {"OMNINODE_URL": bridge.url, "OMNINODE_API_KEY": "omni_key\n"}
    assert CliRunner(env={**nothing, **known}).invoke(omninode, SEND).stdout == "x  accepted\n"
    runner = CliRunner(env={**nothing, "OMNINODE_URL": None, "OMNINODE_API_KEY": None})
    assert runner.invoke(omninode, [*SEND, "--url", bridge.url, "--api-key", "omni_key"]).exit_code == 0
    assert runner.invoke(omninode, [*SEND, "--url", bridge.url]).stderr.startswith("Error: Nothing to work on")


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("nonsense", "omni_key"),
        ("http://[::1", "omni_key"),
        ("http://", "omni_key"),
        ("http://a b", "omni_key"),
        ("ftp://127.0.0.1", "omni_key"),
        ("http://127.0.0.1:1", "omni\nkey"),
        ("http://127.0.0.1:1", "ключ"),
    ],
)
def test_what_is_no_address_or_key_is_told_in_one_line(url: str, key: str) -> None:
    result = CliRunner().invoke(omninode, [*SEND, "--url", url, "--api-key", key])
    assert result.exit_code == 1
    assert result.stderr.startswith(("Error: 'http", "Error: 'nonsense'", "Error: 'ftp", "Error: The API key"))
    assert result.stderr.count("\n") == 1
