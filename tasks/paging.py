"""Pages of a list: opaque cursors that say where the next page begins."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from tasks.errors import FieldError, ValidationFailed

MAX_LIMIT = 1000
_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


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
    return id_in(text)


def id_in(text: str) -> UUID:
    """The id that a part of a cursor is. Raises ValidationFailed."""
    try:
        return UUID(text)
    except ValueError:
        raise ValidationFailed("The cursor is not one of this list.") from None


def decode_moment(cursor: str | None) -> tuple[datetime | None, str | None]:
    """The position in a cursor of ``page_by_moment``: a time, and which item of that time; None without a cursor.

    Raises ValidationFailed as ``decode_cursor``.
    """
    if cursor is None:
        return None, None
    at, item = decode_cursor(cursor, 2)
    try:
        return datetime.fromisoformat(at), item
    except ValueError:
        raise ValidationFailed("The cursor is not one of this list.") from None


def page_by_moment(rows: list[dict[str, Any]], limit: int, moment: str, item: str) -> Page:
    """The first ``limit`` of the rows, of which one more was read where there is another page. They are sorted by the
    columns ``moment``, a time, and ``item``."""
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(rows[:limit], encode_cursor(last[moment].isoformat(), str(last[item])))


def bounded(moment: datetime) -> datetime:
    """An aware time in UTC, within what PostgreSQL and Python can both count with; PostgreSQL knows no offset beyond
    16 hours."""
    return min(max(moment, _EARLIEST), _LATEST).astimezone(UTC)


def checked_limit(limit: int) -> int:
    """``limit``, where a page may be as long. Raises ValidationFailed."""
    if not 1 <= limit <= MAX_LIMIT:
        raise ValidationFailed("Bad limit.", errors=[FieldError("/limit", f"must be between 1 and {MAX_LIMIT}")])
    return limit
