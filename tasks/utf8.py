"""Where bytes are not UTF-8, as somebody who reads a text counts: by lines and characters."""

from __future__ import annotations


def place_of(problem: UnicodeDecodeError) -> tuple[int, int]:
    """Line and column, from 1, of what could not be decoded; all before it is UTF-8."""
    before = problem.object[: problem.start]
    line_start = before.rfind(b"\n") + 1
    return before.count(b"\n") + 1, len(before[line_start:].decode()) + 1
