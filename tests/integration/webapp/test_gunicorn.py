"""The real server: two processes that count together, chunked bodies, a killed worker, a gentle end."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from tasks.access.service import AccessService
from tasks.db.pool import Database
from tasks.settings import Settings, load_settings
from tests.integration.conftest import wait_until
from tests.integration.webapp.support import HOOK, closed_port
from tests.lab_server import Behaviour, Gate, LabServer
from webapp.stack.process import ServerProcess

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "webapp" / "gunicorn.conf.py"), "webapp.wsgi:app"]


class Server:
    """A gunicorn of the test's own."""

    def __init__(self, database_url: str, redis_url: str, log: Path, **more: str) -> None:
        self.port = closed_port()
        self.log = log
        self.database_url = database_url
        self.redis_url = redis_url
        environ = {
            **os.environ,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "ENVIRONMENT": "test",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(log.parent),
            **more,
        }
        environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "--bind", f"127.0.0.1:{self.port}"], env=environ, stdout=output, stderr=output
            )

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request on a connection of its own. A ``body`` that is an iterator is sent chunked."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=body is not None)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Whether it answers. Fails where it ended instead."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.ask("GET", "/health/ready")[0] == 200
        except OSError:
            return False

    def worker_pids(self) -> set[int]:
        """The processes that it started and that live."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in children.split()}


@contextmanager
def running(database_url: str, redis_url: str, log: Path, **more: str) -> Iterator[Server]:
    """A server that is ready, for the block; ``more`` is of its environment."""
    started = Server(database_url, redis_url, log, **more)
    try:
        wait_until(started.is_ready)
        yield started
    finally:
        started.process.kill()
        started.process.wait()
        for pid in re.findall(r"Booting worker with pid: (\d+)", started.log.read_text()):
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.fixture
def own_server(settings: Settings, tmp_path: Path) -> Iterator[Server]:
    """One whose processes the test may end."""
    with running(settings.database_url, settings.redis_url, tmp_path / "gunicorn.log") as started:
        yield started


@pytest.fixture(scope="module")
def server(
    module_database_url: str, valkey_server: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One for the tests that only ask it."""
    log = tmp_path_factory.mktemp("gunicorn") / "gunicorn.log"
    with running(module_database_url, valkey_server.server.url, log) as started:
        yield started


@pytest.fixture(scope="module")
def headers(server: Server) -> dict[str, str]:
    return headers_for(server.database_url, server.redis_url)


def headers_for(database_url: str, redis_url: str) -> dict[str, str]:
    """What a client with a key of its own sends."""
    db = Database(load_settings({"DATABASE_URL": database_url, "REDIS_URL": redis_url}), "test")
    _, secret = AccessService(db).create("tester", ["hooks:write", "hooks:read", "admin"])
    db.close()
    return {"X-API-Key": secret, "Content-Type": "application/json"}


def counted(server: Server, status: int) -> float:
    """How many POSTs got ``status``, by ``/metrics``."""
    text = server.ask("GET", "/metrics")[1].decode()
    found = re.search(rf'^omninode_http_request_total{{method="POST",status="{status}"}} (\S+)$', text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def test_two_processes_count_together_and_survive(own_server: Server, settings: Settings) -> None:
    server, headers = own_server, headers_for(settings.database_url, settings.redis_url)

    def post(_: int) -> int:
        return server.ask("POST", "/hooks", orjson.dumps(HOOK), headers)[0]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, range(40))) == {202}
    assert {counted(server, 202) for _ in range(6)} == {40.0}

    before = server.worker_pids()
    assert len(before) == 2
    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: len(server.worker_pids() - before) == 1 and server.is_ready())
    assert post(0) == 202
    assert {counted(server, 202) for _ in range(6)} == {41.0}


def test_chunked_bodies(server: Server, headers: dict[str, str]) -> None:
    body = orjson.dumps(HOOK)
    assert server.ask("POST", "/hooks", iter([body[:10], body[10:]]), headers)[0] == 202
    large = orjson.dumps({**HOOK, "data": {"x": "y" * (1 << 20)}})
    status, answer = server.ask("POST", "/hooks", iter([large]), headers)
    assert (status, orjson.loads(answer)["code"]) == (413, "INPUT_3")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("key", "status"), [("right", 413), ("wrong", 401)])
def test_a_refused_body_does_not_spoil_the_connection(
    server: Server, headers: dict[str, str], key: str, status: int, chunked: bool
) -> None:
    body = b"x" * (3 << 20)
    bad = headers if key == "right" else {**headers, "X-API-Key": "omni_wrong"}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/hooks", iter([body]) if chunked else body, bad, encode_chunked=chunked)
    refused = connection.getresponse()
    assert refused.status == status
    assert orjson.loads(refused.read())["status"] == status
    connection.request("POST", "/hooks", orjson.dumps(HOOK), headers)
    assert connection.getresponse().status == 202
    connection.close()


def test_broken_chunks_are_a_bad_request(server: Server, headers: dict[str, str]) -> None:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    request = "\r\n".join(["POST /hooks HTTP/1.1", "Host: x", *lines, "Transfer-Encoding: chunked", "", "zz", "", ""])
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(request.encode())
        answer = client.makefile("rb").readline()
    assert answer.startswith(b"HTTP/1.1 400"), server.log.read_text()


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        ("nonsense", 400, "HTTP_400"),
        ("GET /health HTTP/9.9", 400, "HTTP_400"),
        ("GET /hooks\x01<script> HTTP/1.1", 400, "HTTP_400"),
        ("GET /hooks HTTP/1.1\r\nno colon", 400, "HTTP_400"),
        (f"GET /{'x' * 5000} HTTP/1.1", 414, "HTTP_414"),
        (f"GET /hooks HTTP/1.1\r\nX-Long: {'x' * 8200}", 431, "HTTP_431"),
        ("GET /hooks HTTP/1.1\r\n" + "\r\n".join(f"X-{n}: x" for n in range(70)), 431, "HTTP_431"),
        ("POST /hooks HTTP/1.1\r\nTransfer-Encoding: zip", 501, "HTTP_501"),
        ("POST /hooks HTTP/1.1\r\nExpect: wonders", 417, "HTTP_417"),
    ],
    ids=["line", "version", "control", "header", "long-line", "long-header", "many-headers", "coding", "expect"],
)
def test_what_is_no_request_is_told_so_as_a_problem(server: Server, head: str, status: int, code: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(f"{head}\r\n\r\n".encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        body = answer.read()
    assert answer.status == status, body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Correlation-ID"]
    problem = orjson.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert set(problem) == {"type", "title", "status", "detail", "instance", "code", "errors"}
    assert b"script" not in body


def test_a_body_that_is_cut_short_is_not_taken_for_the_whole(server: Server, headers: dict[str, str]) -> None:
    body = orjson.dumps(HOOK)
    half = f"{len(body):x}\r\n".encode() + body + b"\r\n"
    for length, sent in ((f"Content-Length: {len(body) + 50}", body), ("Transfer-Encoding: chunked", half)):
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(["POST /hooks HTTP/1.1", "Host: x", *lines, length, "Connection: close", "", ""])
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(head.encode() + sent)
            client.shutdown(socket.SHUT_WR)
            answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 400"), answer
        assert b"The body ended" in answer


def test_bodies_that_never_come_hold_up_nobody_for_long(settings: Settings, tmp_path: Path) -> None:
    one = {"BODY_WITHIN_S": "4", "ACCEPT_LIMIT": "3", "WEB_CONCURRENCY": "1"}
    with running(settings.database_url, settings.redis_url, tmp_path / "gunicorn.log", **one) as server:
        headers = headers_for(settings.database_url, settings.redis_url)
        body = orjson.dumps(HOOK)

        def begin(key: str) -> socket.socket:
            lines = [f"{name}: {value}" for name, value in {**headers, "X-API-Key": key}.items()]
            head = ["POST /hooks HTTP/1.1", "Host: x", *lines, f"Content-Length: {len(body)}", "", ""]
            client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            client.sendall("\r\n".join(head).encode() + body[:9])
            return client

        slow, stuck, refused = begin(headers["X-API-Key"]), begin(headers["X-API-Key"]), begin("omni_wrong")
        wait_until(lambda: server.ask("POST", "/hooks", body, headers)[0] == 503)
        time.sleep(2.0)  # longer than PostgreSQL has for a request
        slow.sendall(body[9:])
        answers = [client.makefile("rb").readline().split()[1] for client in (slow, stuck, refused)]
        assert answers == [b"202", b"408", b"401"]
        wait_until(lambda: server.ask("POST", "/hooks", body, headers)[0] == 202)
        for client in (slow, stuck, refused):
            client.close()


def test_it_ends_gently_and_leaves_nothing(own_server: Server, settings: Settings) -> None:
    server, headers = own_server, headers_for(settings.database_url, settings.redis_url)
    assert server.ask("POST", "/hooks", orjson.dumps(HOOK), headers)[0] == 202
    folder = server.log.parent
    assert list(folder.glob("omninode-telemetry-*"))
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    assert not list(folder.glob("omninode-telemetry-*"))
    for line in server.log.read_text().splitlines():
        assert line.startswith("{"), line
        assert orjson.loads(line)["event"]


def test_bad_settings_are_listed_and_nothing_starts() -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": tempfile.gettempdir(), "REDIS_URL": "x"}
    ended = subprocess.run(COMMAND, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 78
    assert "DATABASE_URL" in ended.stderr
    assert "REDIS_URL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_frozen_database_holds_up_no_greenlet_for_long_and_repeats_store_each_once(
    server: Server, headers: dict[str, str], postgres_server: ServerProcess
) -> None:
    def post(number: int) -> tuple[int, Any, float]:
        began = time.monotonic()
        status, body = server.ask(
            "POST", "/hooks", orjson.dumps(HOOK), {**headers, "Idempotency-Key": f"frozen-{number}"}
        )
        return status, orjson.loads(body), time.monotonic() - began

    with ThreadPoolExecutor(24) as pool:
        assert {status for status, _, _ in pool.map(post, range(24))} == {202}
        postgres_server.pause()
        try:
            late = [pool.submit(post, number) for number in range(100, 120)]
            assert server.ask("GET", "/health/live")[0] == 200
            answers = [one.result(10) for one in late]
        finally:
            postgres_server.resume()
        assert {status for status, _, _ in answers} == {503}
        assert max(took_s for _, _, took_s in answers) < 4
        again = list(pool.map(post, [*range(100, 120), *range(100, 120)]))
    assert {status for status, _, _ in again} == {202}
    assert len({answer["event_id"] for _, answer, _ in again}) == 20


def test_questions_that_wait_for_a_model_hold_nobody_up_and_answers_stream(
    server: Server, headers: dict[str, str]
) -> None:
    models, gate = LabServer().start(), Gate()
    models.behave("slow", Behaviour(gate=gate))
    models.behave("m", Behaviour(("a", "b", "c"), delay_s=0.5))
    endpoint = {"name": "gunicorn", "kind": "openai", "url": models.url, "tier": "tiny", "max_concurrency": 50}
    assert server.ask("POST", "/lab/endpoints", orjson.dumps(endpoint), headers)[0] == 201
    slow = orjson.dumps({"prompt": "hi", "model": "slow"})
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(server.ask, "POST", "/execute", slow, headers) for _ in range(20)]
        wait_until(lambda: gate.inside == 20)
        assert server.ask("POST", "/hooks", orjson.dumps(HOOK), headers)[0] == 202

        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("POST", "/execute", orjson.dumps({"prompt": "hi", "model": "m", "stream": True}), headers)
        answer = connection.getresponse()
        began, events, raw = time.monotonic(), [], b""
        while piece := answer.read1(65_536):
            events.append((time.monotonic() - began, piece))
            raw += piece
        connection.close()
        assert raw.count(b"event: text") == 3
        assert b"event: answer" in raw
        # It came as the model spoke, and not all at its end.
        assert events[-1][0] - events[0][0] > 0.5

        gate.opened.set()
        assert {one.result(20)[0] for one in waiting} == {200}
    server.ask("DELETE", "/lab/endpoints/gunicorn", None, headers)
    models.stop()
