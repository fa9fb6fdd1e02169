"""Mistakes of a definition on the command line, as compilers write theirs: file, line, column, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from tasks.errors import BridgeError, FieldError
from tasks.workflows.definition.mistakes import Mistake, told
from webapp.cli.api import ApiRefused
from webapp.cli.command import Failed
from webapp.cli.session import Session

# What the bridge says of input that it will never take.
_BAD_INPUT = frozenset({400, 404, 413, 415, 422})


def shown(file: str, mistakes: Iterable[FieldError]) -> list[str]:
    """A line for each mistake."""
    return [f"{file}{_place(one)}: {one.pointer or '/'}: {one.detail}" for one in mistakes]


def refused(session: Session, problem: ApiRefused, file: str, inside: str = "") -> Failed | BridgeError:
    """What to raise where the bridge refused what was sent: bad input is told with every mistake, exit code 2.

    ``inside``: the pointer of what is in the file.
    """
    if problem.answer_status not in _BAD_INPUT:
        return problem
    mistakes = [_without(one, inside) for one in problem.errors]
    if session.as_json:
        body = {"code": problem.code, "detail": problem.detail, "errors": [told(one) for one in mistakes]}
        session.out.note(orjson.dumps({"error": body}).decode())
    else:
        for line in shown(file, mistakes):
            session.out.note(line)
        session.out.note(f"Error: {problem.detail}")
    return Failed(2)


def _without(one: FieldError, inside: str) -> FieldError:
    if not inside or not one.pointer.startswith(inside):
        return one
    line, column = (one.line, one.column) if isinstance(one, Mistake) else (None, None)
    return Mistake(one.pointer[len(inside) :], one.detail, line, column)


def _place(one: FieldError) -> str:
    return f":{one.line}:{one.column}" if isinstance(one, Mistake) and one.line is not None else ""
