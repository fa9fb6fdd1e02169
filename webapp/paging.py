"""The web's side of pages: which cursor a request brings, and the link from a page to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import request

from tasks.errors import FieldError, ValidationFailed
from tasks.paging import Page, bounded, decode_cursor


def cursor_of(query: Mapping[str, Any], length: int) -> str | None:
    """The cursor in ``query``, a position of ``length`` texts that PostgreSQL can be asked for; None without one.

    Raises:
        ValidationFailed: it was not made by this server for such a list.
    """
    cursor: str | None = query.get("cursor")
    if cursor is not None and any("\x00" in part for part in decode_cursor(cursor, length)):
        raise ValidationFailed(
            "The cursor was not made by this server.", errors=[FieldError("/cursor", "unknown cursor")]
        )
    return cursor


def times_of(query: Mapping[str, Any]) -> dict[str, Any]:
    """``since`` and ``until`` of ``query``, ``bounded``."""
    return {name: bounded(query[name]) if query.get(name) else None for name in ("since", "until")}


def next_link(page: Page) -> str | None:
    """The path and query of the page after ``page``, with the filters of the current request; None on the last."""
    if page.next_cursor is None:
        return None
    kept = [(name, value) for name, value in request.args.items(multi=True) if name != "cursor"]
    return f"{request.script_root}{request.path}?{urlencode([*kept, ('cursor', page.next_cursor)])}"
