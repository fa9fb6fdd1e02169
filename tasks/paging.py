"""Pages of a list: opaque cursors that say where the next page begins."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from tasks.errors import FieldError, ValidationFailed

MAX_LIMIT = 1000


@dataclass(frozen=True)
class Page:
    """One page: its items, and the cursor of the next page (None on the last)."""

    items: list[dict[str, Any]]
    next_cursor: str | None


def encode_cursor(*position: str) -> str:
    """An opaque, URL-safe text for ``position``: the sort key of a page's last item."""
    return base64.urlsafe_b64encode(orjson.dumps(position)).rstrip(b"=").decode()


def decode_cursor(cursor: str, length: int) -> tuple[str, ...]:
    """The position in a cursor made by ``encode_cursor`` from ``length`` texts.

    Raises:
        ValidationFailed: the text was not made by this server for this list.
    """
    try:
        raw = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = orjson.loads(raw)
    except (binascii.Error, ValueError):
        position = None
    if (
        not isinstance(position, list)
        or len(position) != length
        or not all(isinstance(part, str) and "\x00" not in part for part in position)
    ):
        raise ValidationFailed(
            "The cursor was not made by this server for this list.",
            errors=[FieldError("/cursor", "unknown cursor; take it from a page's next link")],
        )
    return tuple(position)


def decode_id(cursor: str) -> UUID:
    """The position in a cursor of a list that is sorted by id. Raises ValidationFailed as ``decode_cursor``."""
    [text] = decode_cursor(cursor, 1)
    try:
        return UUID(text)
    except ValueError:
        raise ValidationFailed("The cursor is not one of this list.") from None


def checked_limit(limit: int) -> int:
    """``limit``, where a page may be as long. Raises ValidationFailed."""
    if not 1 <= limit <= MAX_LIMIT:
        raise ValidationFailed("Bad limit.", errors=[FieldError("/limit", f"must be between 1 and {MAX_LIMIT}")])
    return limit
