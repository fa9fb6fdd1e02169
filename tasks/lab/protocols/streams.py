"""Cuts a stream of bytes into lines of JSON (NDJSON) and into server-sent events (SSE), however it was chopped up.

Lines are cut as bytes: a character of UTF-8 that two pieces share is whole again before it is decoded. SSE as in the
WHATWG's HTML standard, section 9.2.6: comments keep the connection alive and say nothing, several ``data`` lines are
one, a byte order mark may lead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from tasks.lab.errors import AttemptFailed

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_SHOWN = 200


def lines(pieces: Iterable[bytes], max_line_bytes: int) -> Iterator[bytes]:
    """The lines, without their ends (LF, CR LF, or CR); a last one without an end is a line too.

    Raises AttemptFailed: a line is longer than the limit.
    """
    rest = b""
    for piece in pieces:
        rest += piece
        # A CR at the very end may be the first half of CR LF.
        held = rest[-1:] == b"\r"
        whole = rest[:-1] if held else rest
        *found, tail = _LINE_END.split(whole)
        yield from found
        rest = tail + b"\r" if held else tail
        if len(rest) > max_line_bytes:
            raise AttemptFailed("too_large", "a line of the answer is longer than its limit")
    if rest:
        yield rest.rstrip(b"\r")


def json_lines(pieces: Iterable[bytes], max_line_bytes: int) -> Iterator[Any]:
    """The value of each line that is not blank. Raises AttemptFailed: one is not JSON."""
    for number, line in enumerate(lines(pieces, max_line_bytes)):
        text = line.removeprefix(_BOM) if number == 0 else line
        if text.strip():
            yield parsed(text)


def events(pieces: Iterable[bytes], max_line_bytes: int) -> Iterator[bytes]:
    """The data of each event. A last one that the stream's end cut off from its blank line counts as well: servers
    forget it, and what is not whole is not JSON."""
    data: list[bytes] = []
    size = 0
    for number, line in enumerate(lines(pieces, max_line_bytes)):
        text = line.removeprefix(_BOM) if number == 0 else line
        if not text:
            if data:
                yield b"\n".join(data)
            data, size = [], 0
            continue
        name, _, value = text.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
            size += len(value)
            if size > max_line_bytes:
                raise AttemptFailed("too_large", "an event of the answer is longer than its limit")
    if data:
        yield b"\n".join(data)


def parsed(text: bytes) -> Any:
    """The value of a JSON text. Lone surrogates, which some servers make of halves of an emoji, and bytes that are no
    UTF-8 are let through.

    Raises AttemptFailed: it is not JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        shown = text[:_SHOWN].decode("utf-8", "replace")
        raise AttemptFailed("bad_answer", f"not JSON: {shown!r}") from None


def mended(text: str) -> str:
    """``text`` with pairs of surrogates joined, lone ones replaced, and without NUL, which PostgreSQL can't hold."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
