"""A server of models for tests: it speaks Ollama's and OpenAI's protocol over real sockets, and misbehaves on
request.

Each model has a ``Behaviour``; ``Gate`` lets a test hold calls and see how many are held.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Gate:
    """Holds calls until it is opened, and counts those that are inside."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.inside = 0
        self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.opened.wait(60)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.inside -= 1


@dataclass
class Behaviour:
    """How a model answers. ``pieces`` are its tokens; an answer may be cut anywhere into writes of ``chop`` bytes.

    ``hang_up_after``: pieces before the connection breaks; ``error_after``: pieces before an error stands in the
    stream; ``usage`` and ``done``: whether the counts, and the protocol's end, come; ``raw``: these bytes instead of
    what the protocol says.
    """

    pieces: tuple[str, ...] = ("Hello", ", ", "world")
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: str = "no luck"
    first_delay_s: float = 0.0
    delay_s: float = 0.0
    hang_up_after: int | None = None
    error_after: int | None = None
    usage: bool = True
    done: bool = True
    chop: int | None = None
    newline: bytes = b"\n"
    comments: bool = False
    bom: bool = False
    ascii_only: bool = True
    stream: bool = True
    raw: bytes | None = None
    gate: Gate | None = None
    statuses: list[int] = field(default_factory=list)


class LabServer:
    """Listens on a free port of the loopback interface from ``start`` to ``stop``."""

    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = defaultdict(Behaviour)
        self.seen: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []
        self.listing: bytes | None = None
        self.listing_delay_s = 0.0
        self.gone = False

    def start(self) -> LabServer:
        lab = self

        class Handler(_Handler):
            owner = lab

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def behave(self, model: str, behaviour: Behaviour | None = None) -> Behaviour:
        self.behaviours[model] = behaviour or Behaviour()
        return self.behaviours[model]

    def asked(self, model: str) -> list[dict[str, Any]]:
        """The bodies of the questions that a model got."""
        return [body for body in self.seen if body.get("model") == model]

    def stop(self) -> None:
        for behaviour in self.behaviours.values():
            if behaviour.gate is not None:
                behaviour.gate.opened.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: LabServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        self.owner.paths.append(self.path)
        self.owner.authorizations.append(self.headers.get("Authorization"))
        if self.owner.listing_delay_s:
            time.sleep(self.owner.listing_delay_s)
        if self.owner.listing is not None:
            self._answer(200, self.owner.listing)
        elif self.path == "/api/tags":
            models = [
                {"name": name, "size": 123, "details": {"family": "fake", "parameter_size": "1B"}}
                for name in self.owner.behaviours
            ]
            self._answer(200, json.dumps({"models": models}).encode())
        elif self.path == "/v1/models":
            data = [{"id": name, "object": "model", "owned_by": "tests"} for name in self.owner.behaviours]
            self._answer(200, json.dumps({"object": "list", "data": data}).encode())
        else:
            self._answer(404, b'{"error": "no such path"}')

    def do_POST(self) -> None:
        self.owner.paths.append(self.path)
        self.owner.authorizations.append(self.headers.get("Authorization"))
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.owner.seen.append(body)
        if body["model"] not in self.owner.behaviours:
            self._answer(404, json.dumps({"error": f"model '{body['model']}' not found"}).encode())
            return
        behaviour = self.owner.behaviours[body["model"]]
        if behaviour.gate is not None:
            with behaviour.gate:
                self._speak(behaviour, body)
        else:
            self._speak(behaviour, body)

    def _speak(self, behaviour: Behaviour, body: dict[str, Any]) -> None:
        time.sleep(behaviour.first_delay_s)
        status = behaviour.statuses.pop(0) if behaviour.statuses else behaviour.status
        if status != 200:
            self._answer(status, json.dumps({"error": {"message": behaviour.error}}).encode(), behaviour.headers)
            return
        kind = "application/x-ndjson" if self.path == "/api/generate" else "text/event-stream; charset=utf-8"
        if not behaviour.stream:
            self._answer(200, json.dumps(_whole(behaviour)).encode())
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        write = _ollama if self.path == "/api/generate" else _openai
        if behaviour.raw is not None:
            self._write(behaviour, behaviour.raw)
        else:
            lead = b"\xef\xbb\xbf" if behaviour.bom else b""
            for number, frame in enumerate(write(behaviour, body["model"])):
                if number:
                    time.sleep(behaviour.delay_s)
                if frame is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                self._write(behaviour, lead + frame)
                lead = b""
        self.wfile.write(b"0\r\n\r\n")

    def _write(self, behaviour: Behaviour, data: bytes) -> None:
        size = behaviour.chop or len(data)
        for start in range(0, len(data), size):
            part = data[start : start + size]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _ollama(behaviour: Behaviour, model: str) -> Iterator[bytes | None]:
    def line(**fields: Any) -> bytes:
        text = json.dumps({"model": model, "created_at": "2026-01-01T00:00:00Z", **fields},
                          ensure_ascii=behaviour.ascii_only)  # fmt: skip
        return text.encode("utf-8", "surrogatepass") + behaviour.newline

    for number, piece in enumerate(behaviour.pieces):
        if number == behaviour.hang_up_after:
            yield None
        if number == behaviour.error_after:
            yield line(error=behaviour.error)
            return
        yield line(response=piece, done=False)
    if behaviour.hang_up_after == len(behaviour.pieces):
        yield None
    if behaviour.done:
        counts = {"prompt_eval_count": 7, "eval_count": len(behaviour.pieces)} if behaviour.usage else {}
        yield line(response="", done=True, done_reason="stop", context=[1, 2, 3], total_duration=5, **counts)


def _openai(behaviour: Behaviour, model: str) -> Iterator[bytes | None]:
    end = behaviour.newline

    def event(**fields: Any) -> bytes:
        value = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, **fields}
        text = json.dumps(value, ensure_ascii=behaviour.ascii_only).encode("utf-8", "surrogatepass")
        comment = b": keep-alive" + end + end if behaviour.comments else b""
        return comment + b"data: " + text + end + end

    def choice(delta: dict[str, str], finish_reason: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "finish_reason": finish_reason}]

    yield event(choices=choice({"role": "assistant", "content": ""}))
    for number, piece in enumerate(behaviour.pieces):
        if number == behaviour.hang_up_after:
            yield None
        if number == behaviour.error_after:
            yield b"data: " + json.dumps({"error": {"message": behaviour.error, "code": 500}}).encode() + end + end
            return
        yield event(choices=choice({"content": piece}))
    if behaviour.hang_up_after == len(behaviour.pieces):
        yield None
    if behaviour.done:
        yield event(choices=choice({}, "stop"))
        if behaviour.usage:
            yield event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": len(behaviour.pieces)})
        yield b"data: [DONE]" + end + end


def _whole(behaviour: Behaviour) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(behaviour.pieces)}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": len(behaviour.pieces)},
    }
