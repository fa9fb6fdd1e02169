"""What every protocol says and hears: a prompt with its options, and the answer as it grows.

A protocol is a pair of functions: ``models_of`` lists what a server offers, ``generate`` asks it and yields the text
piece by piece, filling in a ``Heard`` on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from tasks.lab.errors import AttemptFailed
from tasks.lab.model import Offered
from tasks.lab.protocols.streams import mended, parsed
from tasks.lab.protocols.wire import Call, Clock, Reply, exchange

_SHOWN = 300
_LONGEST_PAUSE_S = 3600.0


@dataclass(frozen=True)
class Server:
    """Where a server is and how it is reached. ``key`` is the secret itself, and is shown nowhere."""

    url: str
    key: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 3.0
    max_wire_bytes: int = 64 << 20
    max_text_bytes: int = 1 << 20

    def call(self, path: str, body: bytes | None = None) -> Call:
        """A request to ``path`` below the server's address."""
        headers = {"Accept": "application/json", "User-Agent": "omninode-bridge"}
        if body is not None:
            headers["Content-Type"] = "application/json"
            headers["Accept"] = "application/json, text/event-stream, application/x-ndjson"
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return Call(self.url + path, headers, body, self.connect_timeout_s, self.max_wire_bytes)


@dataclass(frozen=True)
class Prompt:
    """What a model is asked."""

    model: str
    prompt: str
    system: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    json: bool = False


@dataclass
class Heard:
    """What the server told beside the text. ``complete``: it said that this was all."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    complete: bool = False


Generate = Callable[[Server, Prompt, Clock, Heard], Iterator[str]]
ModelsOf = Callable[[Server, Clock], list[Offered]]


def asked(server: Server, path: str, clock: Clock) -> Any:
    """The JSON that a GET gives. Raises AttemptFailed."""
    with exchange(server.call(path), clock) as reply:
        if reply.status != HTTPStatus.OK:
            raise refusal(reply)
        return parsed(reply.all())


def text_within(pieces: Iterator[str], limit_bytes: int) -> Iterator[str]:
    """The pieces, as long as they are not more than the limit together. Raises AttemptFailed: too_large."""
    left = limit_bytes
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise AttemptFailed("too_large", f"the text is larger than {limit_bytes} bytes")
        yield piece


def refusal(reply: Reply) -> AttemptFailed:
    """The failure that an answer other than 200 is, with the server's own words."""
    status = reply.status
    message = f"{status}: {said(reply.start_of_body())}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        # The server's words may repeat the key.
        return AttemptFailed("unauthorized", f"{status}: the server does not accept the key")
    if status == HTTPStatus.NOT_FOUND:
        return AttemptFailed("model_missing", message)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        wait_s = _retry_after_s(reply.headers.get("Retry-After"), reply.headers.get("Date"))
        if status == HTTPStatus.TOO_MANY_REQUESTS or wait_s is not None:
            return AttemptFailed("rate_limited", message, wait_s)
    if 300 <= status < 400:
        return AttemptFailed("refused", f"{status}: redirects are not followed")
    return AttemptFailed("server_error" if status >= 500 else "refused", message)


def said(body: bytes) -> str:
    """The message of an error's body, in any of the usual forms, in one short line."""
    try:
        value = parsed(body)
    except AttemptFailed:
        value = None
    return error_text(value) or _line(body.decode("utf-8", "replace")) or "no reason given"


def error_text(value: Any) -> str | None:
    """The message in ``{"error": "…"}``, ``{"error": {"message": "…"}}``, ``{"message": "…"}`` or ``{"detail":
    "…"}``; None where there is none."""
    if not isinstance(value, dict):
        return None
    found = value.get("error") or value.get("message") or value.get("detail")
    if isinstance(found, dict):
        found = found.get("message") or found.get("code") or found
    return _line(str(found)) if found else None


def count_of(value: Any) -> int | None:
    """A number of tokens; None for what is none."""
    return value if type(value) is int and 0 <= value < 2**31 else None


def _line(text: str) -> str:
    return " ".join(mended(text).split())[:_SHOWN]


def _retry_after_s(text: str | None, date: str | None) -> float | None:
    """Seconds (RFC 9110, section 10.2.3): a number, or a time, which is held against the server's own clock."""
    if not text:
        return None
    if text.strip().isdecimal():
        return min(float(text), _LONGEST_PAUSE_S)
    try:
        wait_s = (parsedate_to_datetime(text) - parsedate_to_datetime(date or "")).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(0.0, wait_s), _LONGEST_PAUSE_S)
