"""Inflates request bodies that were sent with ``Content-Encoding: gzip``, never beyond a limit.

A few kilobytes may inflate to gigabytes: the limit holds for what comes out, and no more than that is ever made.
"""

from __future__ import annotations

import zlib

from tasks.errors import MalformedInput, TooLarge

# zlib's flag for the gzip format (RFC 1952).
_GZIP = 16 + zlib.MAX_WBITS


def inflate(raw: bytes, limit: int) -> bytes:
    """The content of a gzip body, of one member or several (RFC 1952, section 2.2).

    Raises:
        MalformedInput: it is no gzip, is cut off, or fails its checksum.
        TooLarge: it is larger than ``limit`` bytes.
    """
    parts: list[bytes] = []
    size = 0
    while raw:
        member = zlib.decompressobj(_GZIP)
        try:
            part = member.decompress(raw, limit - size + 1)
        except zlib.error as problem:
            raise MalformedInput("The body is not valid gzip.") from problem
        size += len(part)
        if size > limit:
            raise TooLarge(f"The inflated body is larger than {limit} bytes.")
        if not member.eof:
            raise MalformedInput("The gzip body is cut off.")
        parts.append(part)
        raw = member.unused_data
    return b"".join(parts)
