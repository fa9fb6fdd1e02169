"""What list commands share: ``--limit``, ``--cursor``, times, and how a page is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from tasks.paging import MAX_LIMIT, Page, bounded
from webapp.cli.session import Session

Function = TypeVar("Function", bound=Callable[..., Any])
_AGE = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType[datetime]):
    """A time: an age such as ``90d``, counted ``forward`` or back, or RFC 3339 (UTC where it names no zone);
    ``bounded``."""

    name = "time"

    def __init__(self, *, forward: bool = False) -> None:
        self._direction = 1 if forward else -1

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment. A text that is neither is bad usage."""
        if isinstance(value, datetime):
            return value
        match = _AGE.fullmatch(str(value))
        try:
            if match:
                return datetime.now(UTC) + self._direction * timedelta(**{_UNITS[match[2]]: int(match[1])})
            moment = datetime.fromisoformat(str(value))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither an age such as 15m or 90d nor a time such as 2030-01-31", param, ctx)
        return bounded(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def paged(function: Function) -> Function:
    """Adds ``--limit`` and ``--cursor``."""
    limit = click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=20, show_default=True)
    cursor = click.option("--cursor", help="Where the page begins: printed at the end of the previous page.")
    return limit(cursor(function))


def write_page(session: Session, page: Page, columns: Sequence[str], empty: str) -> None:
    """The page as a table, or as ``{items, next_cursor}``; on a terminal it says how to get the next."""
    if session.as_json:
        session.out.json({"items": page.items, "next_cursor": page.next_cursor})
        return
    session.out.table(columns, page.items, empty)
    if page.next_cursor:
        session.out.note(f"more: --cursor {page.next_cursor}")
