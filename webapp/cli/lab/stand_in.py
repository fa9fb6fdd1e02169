"""``omninode lab standin``: a server that speaks both protocols and answers by rule, to try the lab without a model.

It is no model, and says so in every answer. ``stand-in-echo`` repeats the question, ``stand-in-upper`` in capitals,
``stand-in-broken`` fails always.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import click
import orjson

from webapp.cli.command import pass_session
from webapp.cli.lab.group import group
from webapp.cli.session import Session

_HOST = "127.0.0.1"
_BODY_LIMIT = 4 << 20
_PAUSE_S = 0.01
RULES: dict[str, Callable[[str], str] | None] = {
    "stand-in-echo": lambda prompt: f"(no model) You asked: {prompt}",
    "stand-in-upper": lambda prompt: f"(NO MODEL) YOU ASKED: {prompt.upper()}",
    "stand-in-broken": None,
}


@group.command("standin")
@click.option("--port", type=click.IntRange(0, 65535), default=11435, show_default=True, help="0: any free one.")
@pass_session
def command(session: Session, /, port: int) -> None:
    """Serve a stand-in for a model, on this machine only, until it is stopped. It is no model: it repeats what it
    hears.

    To try the lab: omninode lab endpoints add NAME --kind openai --url http://127.0.0.1:11435 --tier tiny
    """
    server = serve(port)
    url = f"http://{_HOST}:{server.server_address[1]}"
    if session.as_json:
        session.out.json_line({"url": url, "models": list(RULES)})
    else:
        session.out.line(f"A stand-in (no model) listens at {url}; Ctrl-C stops it.")
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    server.server_close()


def serve(port: int) -> ThreadingHTTPServer:
    """The server, bound and not yet serving. Raises OSError where the port is taken."""
    server = ThreadingHTTPServer((_HOST, port), _Handler)
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the command's output is for who started it."""

    def do_GET(self) -> None:
        """What there is to ask."""
        if self.path == "/api/tags":
            self._answer(200, {"models": [{"name": name, "details": {"family": "stand-in"}} for name in RULES]})
        elif self.path == "/v1/models":
            data = [{"id": name, "object": "model", "owned_by": "stand-in"} for name in RULES]
            self._answer(200, {"object": "list", "data": data})
        else:
            self._answer(404, {"error": "no such path"})

    def do_POST(self) -> None:
        """Answers by the model's rule, word by word."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _BODY_LIMIT:
            self._answer(413, {"error": "too large, or of no length"})
            return
        try:
            body = orjson.loads(self.rfile.read(int(length)))
            model, prompt = body["model"], _prompt_of(self.path, body)
        except (ValueError, KeyError, TypeError, IndexError):
            self._answer(400, {"error": "not a question of this protocol"})
            return
        rule = RULES.get(model)
        if model not in RULES:
            self._answer(404, {"error": f"model '{model}' not found"})
        elif rule is None:
            self._answer(500, {"error": "stand-in-broken always fails"})
        else:
            lines = _ollama if self.path == "/api/generate" else _openai
            self._stream(lines(model, prompt, rule(prompt)))

    def _stream(self, lines: Iterator[bytes]) -> None:
        self.send_response(200)
        ollama = self.path == "/api/generate"
        self.send_header("Content-Type", "application/x-ndjson" if ollama else "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for line in lines:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                time.sleep(_PAUSE_S)
            self.wfile.write(b"0\r\n\r\n")

    def _answer(self, status: int, value: Any) -> None:
        body = orjson.dumps(value)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _prompt_of(path: str, body: dict[str, Any]) -> str:
    return str(body["prompt"]) if path == "/api/generate" else str(body["messages"][-1]["content"])


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split(" ")]


def _ollama(model: str, prompt: str, text: str) -> Iterator[bytes]:
    words = _words(text)
    for word in words:
        yield orjson.dumps({"model": model, "response": word, "done": False}) + b"\n"
    counts = {"prompt_eval_count": len(_words(prompt)), "eval_count": len(words)}
    yield orjson.dumps({"model": model, "response": "", "done": True, "done_reason": "stop", **counts}) + b"\n"


def _openai(model: str, prompt: str, text: str) -> Iterator[bytes]:
    def event(**fields: Any) -> bytes:
        value = {"object": "chat.completion.chunk", "model": model, **fields}
        return b"data: " + orjson.dumps(value) + b"\n\n"

    words = _words(text)
    for word in words:
        yield event(choices=[{"index": 0, "delta": {"content": word}, "finish_reason": None}])
    yield event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    yield event(choices=[], usage={"prompt_tokens": len(_words(prompt)), "completion_tokens": len(words)})
    yield b"data: [DONE]\n\n"
