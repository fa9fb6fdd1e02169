"""Ollama's native API (its docs/api.md): ``/api/tags`` and ``/api/generate``, whose answer is a line of JSON a
token."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import orjson

from tasks.lab.errors import AttemptFailed
from tasks.lab.model import Offered
from tasks.lab.protocols.speech import Heard, Prompt, Server, asked, count_of, error_text, refusal
from tasks.lab.protocols.streams import json_lines
from tasks.lab.protocols.wire import Clock, exchange

_SLACK_BYTES = 1 << 20
_KEPT_DETAILS = ("family", "parameter_size", "quantization_level", "format")


def models_of(server: Server, clock: Clock) -> list[Offered]:
    """What the server has pulled. Raises AttemptFailed."""
    body = asked(server, "/api/tags", clock)
    found = body.get("models") if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise AttemptFailed("bad_answer", "/api/tags answers without a list of models")
    return [_offered(one) for one in found if isinstance(one, dict) and isinstance(one.get("name"), str)]


def generate(server: Server, prompt: Prompt, clock: Clock, heard: Heard) -> Iterator[str]:
    """Asks, and yields the text as it comes. Raises AttemptFailed."""
    with exchange(server.call("/api/generate", _body(prompt)), clock) as reply:
        if reply.status != HTTPStatus.OK:
            raise refusal(reply)
        # The last line repeats the context as numbers, so a line may be longer than the text.
        for line in json_lines(reply.pieces(), server.max_text_bytes + _SLACK_BYTES):
            if not isinstance(line, dict):
                raise AttemptFailed("bad_answer", "a line that is not an object")
            if line.get("error"):
                raise AttemptFailed("model_error", error_text(line) or "no reason given")
            text = line.get("response")
            if isinstance(text, str) and text:
                clock.alive()
                yield text
            elif line.get("thinking"):
                clock.alive()
            if line.get("done") is True:
                _note(line, heard)
                return


def _body(prompt: Prompt) -> bytes:
    body: dict[str, Any] = {"model": prompt.model, "prompt": prompt.prompt, "stream": True}
    options: dict[str, Any] = {}
    if prompt.temperature is not None:
        options["temperature"] = prompt.temperature
    if prompt.max_tokens is not None:
        options["num_predict"] = prompt.max_tokens
    if prompt.system is not None:
        body["system"] = prompt.system
    if options:
        body["options"] = options
    if prompt.json:
        body["format"] = "json"
    return orjson.dumps(body)


def _note(line: dict[str, Any], heard: Heard) -> None:
    heard.complete = True
    heard.input_tokens = count_of(line.get("prompt_eval_count"))
    heard.output_tokens = count_of(line.get("eval_count"))
    reason = line.get("done_reason")
    heard.finish_reason = reason if isinstance(reason, str) else "stop"


def _offered(one: dict[str, Any]) -> Offered:
    details = one.get("details")
    kept = {name: details[name] for name in _KEPT_DETAILS if name in details} if isinstance(details, dict) else {}
    if type(one.get("size")) is int:
        kept["size_bytes"] = one["size"]
    return Offered(one["name"], kept)
