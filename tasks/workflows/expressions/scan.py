"""Finding where an expression ends in a text, and refusing early what the parser should not see.

Knows texts in quotes and brackets, so that ``}}`` inside either does not end an expression.
"""

from __future__ import annotations

import re

from tasks.workflows.expressions.errors import InvalidExpression
from tasks.workflows.expressions.limits import Limits

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_ESCAPES = frozenset("\\'\"nrtbfxuU\n")
_HINTS = {"&&": "'and'", "||": "'or'"}
# What the scan stops at; everything else can't end an expression.
_NOTABLE = re.compile(r"""[()\[\]{}'"#;\0!&|]""")


def scan(source: str, limits: Limits, start: int = 0, *, template: bool = False) -> int:
    """Where the expression that begins at ``start`` ends: at its ``}}`` in a template, else at the text's end.

    Raises InvalidExpression for brackets that do not match or are nested too deeply, texts without an end, escapes
    that are none, comments, and a source that is too long.
    """
    opened: list[tuple[str, int]] = []
    at, end = start, len(source)
    while found := _NOTABLE.search(source, at):
        at, character = found.start(), found.group()
        if at - start > limits.source:
            break
        if template and not opened and source.startswith("}}", at):
            return at
        if character in "'\"":
            raw = at > start and source[at - 1] in "rR"
            at = _text_end(source, at, raw)
            continue
        if character in _CLOSING:
            opened.append((character, at))
            if len(opened) > limits.depth:
                raise InvalidExpression(f"brackets nested deeper than {limits.depth}", source, at)
        elif character in ")]}":
            if not opened or _CLOSING[opened[-1][0]] != character:
                raise InvalidExpression(f"'{character}' closes nothing", source, at)
            opened.pop()
        else:
            _refuse(source, at)
        at += 1
    if (at if template else end) - start > limits.source:
        raise InvalidExpression(f"an expression of more than {limits.source} characters")
    if opened:
        raise InvalidExpression(f"'{opened[-1][0]}' is not closed", source, opened[-1][1])
    if template:
        raise InvalidExpression("'${{' is not closed by '}}'", source, max(0, start - 3))
    return end


def _refuse(source: str, at: int) -> None:
    """Raises InvalidExpression for what other languages have at this place and this one has not."""
    pair = source[at : at + 2]
    if pair in _HINTS:
        raise InvalidExpression(f"'{pair}' is written {_HINTS[pair]}", source, at)
    if source[at] in "#;\0":
        raise InvalidExpression(f"{source[at]!r} is not part of an expression", source, at)
    if source[at] == "!" and pair != "!=":
        raise InvalidExpression("'!' is written 'not'", source, at)


def _text_end(source: str, start: int, raw: bool) -> int:
    """The place after the text in quotes that begins at ``start``."""
    quote = source[start]
    if source.startswith(quote * 3, start):
        raise InvalidExpression("a text has one quote on each side", source, start)
    at = start + 1
    while at < len(source):
        character = source[at]
        if character == "\\":
            follows = source[at + 1 : at + 2]
            if not raw and follows not in _ESCAPES:
                raise InvalidExpression(
                    rf"'\{follows}' is no escape; write '\\{follows}' or r'\{follows}'", source, at
                )
            at += 2
        elif character == quote:
            return at + 1
        elif character == "\n":
            break
        else:
            at += 1
    raise InvalidExpression("the text has no end", source, start)
