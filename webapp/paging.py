"""Makes the link from a page of a list to the next."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import request

from tasks.paging import Page


def next_link(page: Page) -> str | None:
    """The path and query of the page after ``page``, with the filters of the current request; None on the last."""
    if page.next_cursor is None:
        return None
    kept = [(name, value) for name, value in request.args.items(multi=True) if name != "cursor"]
    return f"{request.script_root}{request.path}?{urlencode([*kept, ('cursor', page.next_cursor)])}"
