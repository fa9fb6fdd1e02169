"""Tells whether a JSON text holds the character NUL, which PostgreSQL keeps in no text."""

from __future__ import annotations

import re

_ESCAPED = b"\\u0000"
# Behind an even number of backslashes: else it is the six characters of the escape, as source code has them.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def holds_nul(text: bytes) -> bool:
    """Whether some text in this JSON, as orjson writes it, has a NUL in it."""
    return _ESCAPED in text and _NUL.search(text) is not None
