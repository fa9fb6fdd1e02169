"""Reads an answer within its limits of time and size, decompressed or not, and makes an output of it."""

from __future__ import annotations

import base64
import codecs
import email.message
import email.utils
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from urllib3.response import BaseHTTPResponse

from tasks.journal.model import REDACTED
from tasks.workflows.attempt import StepError

_CHUNK = 64 * 1024
_MAX_HEADER_BYTES = 64 * 1024
_SHOWN = 300
# Credentials of a session, and of no use to a later step.
_LEFT_OUT = frozenset({"set-cookie", "set-cookie2"})


@dataclass(frozen=True)
class Answer:
    """An answer that was read whole. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""

    def output(self) -> dict[str, Any]:
        """``{status, headers, body}``: the body parsed where it is JSON, a text where it is one, null where there is
        none, and else ``{"base64": …}``. Cookies are left out."""
        headers = {name: value for name, value in self.headers.items() if name not in _LEFT_OUT}
        return {"status": self.status, "headers": headers, "body": self._body()}

    def beginning(self) -> str:
        """How the body begins, for an error's text; empty where it is no text."""
        body = self._text()
        return " ".join((body or "")[:_SHOWN].split())

    def retry_after_s(self) -> float | None:
        """How long the server asks to be left alone (RFC 9110, section 10.2.3)."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return float(value[:9])
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            return None

    def without(self, secrets: Collection[str]) -> Answer:
        """The same, where the server told back what it was told."""
        content, headers = self.content, dict(self.headers)
        for secret in secrets:
            for form in {secret.encode(), orjson.dumps(secret)[1:-1]}:
                content = content.replace(form, REDACTED.encode())
            headers = {name: value.replace(secret, REDACTED) for name, value in headers.items()}
        return Answer(self.status, headers, content)

    def _body(self) -> Any:
        if not self.content:
            return None
        kind = _media_type(self.headers).get_content_type()
        if kind == "application/json" or kind.endswith("+json"):
            try:
                return orjson.loads(self.content)
            except orjson.JSONDecodeError:
                pass  # it is no JSON, whatever it says: then it is what it looks like
        text = self._text()
        return {"base64": base64.b64encode(self.content).decode()} if text is None else text

    def _text(self) -> str | None:
        charset = _media_type(self.headers).get_content_charset("utf-8")
        try:
            text = codecs.decode(self.content, charset)
        except (UnicodeDecodeError, LookupError):
            return None
        # PostgreSQL keeps no text with NUL in it, and a codec such as `hex` makes no text at all.
        return text if isinstance(text, str) and "\0" not in text else None


def read_answer(response: BaseHTTPResponse, max_bytes: int) -> Answer:
    """Reads the answer to its end.

    Raises:
        StepError: it is larger than ``max_bytes``, as sent or decompressed, or its headers are too large.
        OSError, urllib3's HTTPError: the connection broke, or the time is over.
    """
    headers = _headers(response)
    length = headers.get("content-length", "")
    if length.isdigit() and len(length) < 20 and int(length) > max_bytes and response.length_remaining != 0:
        raise _too_large(max_bytes)
    parts, size = [], 0
    for part in response.stream(_CHUNK, decode_content=True):
        size += len(part)
        if size > max_bytes or response.tell() > max_bytes + _CHUNK:
            raise _too_large(max_bytes)
        parts.append(part)
    return Answer(response.status, headers, b"".join(parts))


def _headers(response: BaseHTTPResponse) -> dict[str, str]:
    if sum(len(name) + len(value) for name, value in response.headers.iteritems()) > _MAX_HEADER_BYTES:
        raise StepError(
            f"The answer has more than {_MAX_HEADER_BYTES} bytes of headers.",
            error_type="AnswerTooLarge",
            retryable=False,
        )
    # Several of one name are one value, with commas between (RFC 9110, section 5.3).
    return {name.lower(): value.replace("\0", "") for name, value in response.headers.items()}


def _media_type(headers: Mapping[str, str]) -> email.message.Message:
    message = email.message.Message()
    message["content-type"] = headers.get("content-type", "application/octet-stream")
    return message


def _too_large(max_bytes: int) -> StepError:
    return StepError(f"The answer has more than {max_bytes} bytes.", error_type="AnswerTooLarge", retryable=False)
