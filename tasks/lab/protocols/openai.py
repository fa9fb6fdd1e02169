"""OpenAI's API as many servers speak it (platform.openai.com/docs/api-reference/chat): ``/v1/models`` and
``/v1/chat/completions`` with server-sent events and a last chunk that counts the tokens."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import orjson

from tasks.lab.errors import AttemptFailed
from tasks.lab.model import Offered
from tasks.lab.protocols.speech import Heard, Prompt, Server, asked, count_of, error_text, refusal
from tasks.lab.protocols.streams import events, parsed
from tasks.lab.protocols.wire import Clock, exchange

_SLACK_BYTES = 1 << 20
_DONE = b"[DONE]"


def models_of(server: Server, clock: Clock) -> list[Offered]:
    """What the server offers. Raises AttemptFailed."""
    body = asked(server, "/v1/models", clock)
    found = body.get("data") if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise AttemptFailed("bad_answer", "/v1/models answers without a list of models")
    return [
        Offered(one["id"], {"owned_by": one["owned_by"]} if isinstance(one.get("owned_by"), str) else {})
        for one in found
        if isinstance(one, dict) and isinstance(one.get("id"), str)
    ]


def generate(server: Server, prompt: Prompt, clock: Clock, heard: Heard) -> Iterator[str]:
    """Asks, and yields the text as it comes. Raises AttemptFailed."""
    with exchange(server.call("/v1/chat/completions", _body(prompt)), clock) as reply:
        if reply.status != HTTPStatus.OK:
            raise refusal(reply)
        if reply.headers.get_content_type() == "application/json":
            # Not every server can stream.
            yield from _read(parsed(reply.all()), clock, heard)
            heard.complete = True
            return
        for data in events(reply.pieces(), server.max_text_bytes + _SLACK_BYTES):
            if data.strip() == _DONE:
                heard.complete = True
                return
            yield from _read(parsed(data), clock, heard)
        # Some servers leave [DONE] out; a reason to finish says the same.
        heard.complete = heard.finish_reason is not None


def _body(prompt: Prompt) -> bytes:
    messages = [{"role": "user", "content": prompt.prompt}]
    if prompt.system is not None:
        messages.insert(0, {"role": "system", "content": prompt.system})
    body: dict[str, Any] = {
        "model": prompt.model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if prompt.temperature is not None:
        body["temperature"] = prompt.temperature
    if prompt.max_tokens is not None:
        body["max_tokens"] = prompt.max_tokens
    if prompt.json:
        body["response_format"] = {"type": "json_object"}
    return orjson.dumps(body)


def _read(chunk: Any, clock: Clock, heard: Heard) -> Iterator[str]:
    """The text of one chunk, or of a whole answer, which has a message where a chunk has a delta."""
    if not isinstance(chunk, dict):
        raise AttemptFailed("bad_answer", "a chunk that is not an object")
    if chunk.get("error"):
        raise AttemptFailed("model_error", error_text(chunk) or "no reason given")
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        heard.input_tokens = count_of(usage.get("prompt_tokens"))
        heard.output_tokens = count_of(usage.get("completion_tokens"))
    choices = chunk.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return
    said = first.get("delta") or first.get("message")
    if isinstance(said, dict):
        text = said.get("content")
        if isinstance(text, str) and text:
            clock.alive()
            yield text
        elif said.get("reasoning_content") or said.get("reasoning"):
            clock.alive()
    if isinstance(first.get("finish_reason"), str):
        heard.finish_reason = first["finish_reason"]
