"""Reads a request's JSON body strictly: what passes here can be stored in PostgreSQL and comes back unchanged.

Syntax is orjson's (RFC 8259, UTF-8 only, no NaN, no trailing text). What jsonb can't hold or would change, NUL
characters and integers beyond 64 bits, and what is nested too deep, is refused with a pointer (RFC 6901).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import orjson
from flask import Flask, Request, Response, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, HTTPException
from werkzeug.wsgi import get_input_stream

from tasks.errors import FieldError, MalformedInput, TooLarge, ValidationFailed
from tasks.utf8 import place_of
from webapp.problems import UnsupportedMedia
from webapp.slow_clients import SlowClient

_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_NAME_END = re.compile(rb'"[ \t\r\n]*:')
_POINTER_LIMIT = 400
_DRAIN_LIMIT = 16 << 20
_DRAIN_CHUNK = 1 << 16


def install(app: Flask) -> None:
    """Reads to the end what a refused request of ``app`` still sends, up to 16 MiB.

    Most clients send all before they listen; one that is answered before that sees a broken connection instead.
    """

    @app.after_request
    def drain(response: Response) -> Response:
        if response.status_code >= 400 and request.method not in ("GET", "HEAD"):
            _drain(request)
        return response


class _BigInteger:
    """Stands where an integer of more than 64 bits stood in the text."""


def is_absent(request: Request) -> bool:
    """Whether the request comes without a body."""
    return not request.content_length and "Transfer-Encoding" not in request.headers


def read_json(request: Request, max_depth: int) -> Any:
    """The value of the request's body, checked as ``check`` does. The body is read and parsed once.

    Raises:
        UnsupportedMedia: the content type is not JSON in UTF-8, or the content is encoded.
        MalformedInput: it is not one JSON text, or not all of it came; the error says where.
        ValidationFailed: as ``check``.
        TooLarge: it is larger than ``request.max_content_length``.
    """
    raw = read_raw(request)
    value = parse(raw)
    if suspicious(raw, max_depth):
        check(value, max_depth)
    return value


def read_raw(
    request: Request, media_types: Sequence[str] = ("application/json",), *, encodings: Sequence[str] = ("identity",)
) -> bytes:
    """The body's bytes, where its headers say that they are of one of ``media_types``, in UTF-8.

    They are as sent: of one of ``encodings``, and still encoded (``webapp.gzipped`` inflates).

    Raises: as ``read_json``.
    """
    if request.mimetype not in media_types:
        raise UnsupportedMedia(f"The body must be sent as Content-Type: {' or '.join(media_types)}.")
    if request.mimetype_params.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMedia("The body is read as UTF-8 only (RFC 8259, section 8.1).")
    if encoding_of(request) not in encodings:
        known = [name for name in encodings if name != "identity"]
        rule = f"may be compressed by {' or '.join(known)} alone" if known else "must not be compressed"
        raise UnsupportedMedia(f"The body {rule}.")
    limit = request.max_content_length or 0
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    # werkzeug cuts a chunked body off at its limit without a word, so one byte more is let in and looked for.
    request.max_content_length = limit + 1
    try:
        raw = request.get_data()
    except ParseException as problem:
        raise MalformedInput(f"The body is not sent as HTTP/1.1 has it: {type(problem).__name__}.") from problem
    except ClientDisconnected:
        raise MalformedInput("The body ended before its end.") from None
    if len(raw) > limit:
        raise _too_large(limit)
    if len(raw) < (request.content_length or 0):
        # What came may be JSON all the same, and mean something else than the whole (RFC 9112, section 8).
        raise MalformedInput(f"The body ended after {len(raw)} of {request.content_length} bytes.")
    return raw


def encoding_of(request: Request) -> str:
    """The request's Content-Encoding, ``identity`` where it names none."""
    return request.headers.get("Content-Encoding", "identity").strip().lower() or "identity"


def parse(raw: bytes) -> Any:
    """The value of a JSON text; integers beyond 64 bits stay marked, for ``check`` to refuse.

    Raises:
        MalformedInput: it is not one JSON text in UTF-8.
        ValidationFailed: an object in it holds a name twice.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as problem:
        wrong = _wrong_byte(raw) or f"{problem.msg} at line {problem.lineno}, column {problem.colno}"
        raise MalformedInput(f"The body is not valid JSON: {wrong}.", errors=[FieldError("", wrong)]) from None
    # orjson turns an integer beyond 64 bits into a float, and keeps the last of equal names, both without a word.
    try:
        if repeats_names(raw, value):
            _refuse_repeats(json.loads(raw, parse_int=_integer, object_pairs_hook=_Object))
        return json.loads(raw, parse_int=_integer) if holds_long_number(raw) else value
    except RecursionError:
        raise MalformedInput("The body is nested too deep.", errors=[FieldError("", "is nested too deep")]) from None


def _wrong_byte(raw: bytes) -> str | None:
    """What is not UTF-8 in the text and where, which orjson does not say; None where all of it is."""
    try:
        raw.decode()
    except UnicodeDecodeError as problem:
        line, column = place_of(problem)
        return f"{problem.reason} of UTF-8 at line {line}, column {column}"
    return None


def repeats_names(raw: bytes, value: Any) -> bool:
    """Whether an object in the text could hold a name twice, where ``value`` is what orjson read of it: cheap, and
    never wrongly False. Such a text means one thing to one reader and another to the next (RFC 7493, section 2.3)."""
    if b"\\u00" in raw:
        # It may stand for a quote or a colon, which are counted below.
        return True
    try:
        return len(_NAME_END.findall(raw)) != orjson.dumps(value).count(b'":')
    except orjson.JSONEncodeError:
        # It reads deeper than it writes.
        return True


class _Object(dict[str, Any]):
    """An object as it stood in the text, with a name that stands in it twice, if there is one."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: str | None = None
        if len(self) < len(pairs):
            seen: set[str] = set()
            self.repeated = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]


def _refuse_repeats(value: Any) -> None:
    stack: list[tuple[Any, str]] = [(value, "")]
    while stack:
        item, where = stack.pop()
        if isinstance(item, _Object):
            if item.repeated is not None:
                raise _refused(f"{where}/{escape(item.repeated)}", "stands twice in its object")
            stack.extend((inner, f"{where}/{escape(name)}") for name, inner in item.items())
        elif isinstance(item, list):
            stack.extend((inner, f"{where}/{index}") for index, inner in enumerate(item))


def suspicious(raw: bytes, max_depth: int) -> bool:
    """Whether the text could hold something that ``check`` refuses: cheap, and never wrongly False."""
    return b"\\u0000" in raw or raw.count(b"[") + raw.count(b"{") > max_depth or holds_long_number(raw)


def holds_long_number(raw: bytes) -> bool:
    """Whether the text could hold an integer beyond 64 bits; never wrongly False."""
    return _LONG_NUMBER.search(raw) is not None


def check(value: Any, max_depth: int, pointer: str = "") -> None:
    """Walks ``value`` and refuses what can't be kept as it is.

    Raises:
        ValidationFailed: with a pointer to the first NUL character, oversized integer or too deep a level.
    """
    stack: list[tuple[Any, str, int]] = [(value, pointer, 1)]
    while stack:
        item, where, depth = stack.pop()
        if isinstance(item, str):
            if "\x00" in item:
                raise _refused(where, "must not contain the NUL character")
        elif isinstance(item, _BigInteger):
            raise _refused(where, "is an integer beyond 64 bits: send it as text")
        elif isinstance(item, dict | list):
            if depth > max_depth:
                raise _refused(where, f"is nested deeper than {max_depth} levels")
            if isinstance(item, dict):
                if any("\x00" in key for key in item):
                    raise _refused(where, "has a key with the NUL character")
                stack.extend((inner, f"{where}/{escape(key)}", depth + 1) for key, inner in item.items())
            else:
                stack.extend((inner, f"{where}/{index}", depth + 1) for index, inner in enumerate(item))


def escape(key: str) -> str:
    """One reference token of a JSON Pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def _drain(request: Request) -> None:
    if request.environ.get("wsgi.input_terminated"):
        source = request.environ["wsgi.input"]
    elif "stream" not in vars(request):
        source = get_input_stream(request.environ)
    else:
        return  # its raw stream does not know its end, and a part of it was read
    left = _DRAIN_LIMIT
    try:
        while left > 0 and (chunk := source.read(min(left, _DRAIN_CHUNK))):
            left -= len(chunk)
    except (OSError, HTTPException, ParseException, SlowClient):
        return  # the client is gone, or its chunks are no chunks: the server closes the connection


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit} bytes.")


def _integer(text: str) -> int | _BigInteger:
    if len(text) > 20:
        return _BigInteger()
    number = int(text)
    return number if -(2**63) <= number < 2**64 else _BigInteger()


def _refused(pointer: str, detail: str) -> ValidationFailed:
    shown = pointer if len(pointer) <= _POINTER_LIMIT else pointer[:_POINTER_LIMIT].rsplit("/", 1)[0]
    return ValidationFailed(f"A value in the body {detail}.", errors=[FieldError(shown, detail)])
