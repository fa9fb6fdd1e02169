"""Reading a definition from JSON: duplicate names are mistakes, and every place has a line and a column."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from tasks.workflows.definition.mistakes import Key
from tasks.workflows.definition.plain import DEPTH

# More than any number of 64 bits has, and fewer than Python would refuse to read.
_DIGITS = 40
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


class Unreadable(Exception):
    """The text is not of its format; ``line`` and ``column`` count from 1."""

    def __init__(self, detail: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(detail)
        self.detail, self.line, self.column = detail, line, column


def read_json(text: str) -> tuple[Any, list[tuple[tuple[Key, ...], str]]]:
    """The value, and the mistakes that do not keep it from being read. NaN and the like, which JSON does not
    have, are read, for ``check_plain`` to refuse in their places. Raises Unreadable."""
    repeated = False

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        made = dict(found)
        repeated = repeated or len(made) != len(found)
        return made

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg}", error.lineno, error.colno) from None
    except RecursionError:
        raise Unreadable(f"nested deeper than {DEPTH}", *_too_deep_at(text)) from None
    mistakes = [(path, "the name stands here twice") for path, _, again in _walk(text) if again] if repeated else []
    return value, mistakes


def _whole(digits: str) -> int:
    """A whole number; of one with more digits than 64 bits hold the first, which 64 bits do not hold either."""
    return int(digits[:_DIGITS])


def _too_deep_at(text: str) -> tuple[int, int]:
    """Line and column of the first bracket inside ``DEPTH`` others."""
    depth = at = 0
    for token in _TOKEN.finditer(text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token.group(), 0)
        if depth > DEPTH:
            at = token.start()
            break
    return _place(text, at)


def places_in_json(text: str, wanted: Collection[tuple[Key, ...]]) -> dict[tuple[Key, ...], tuple[int, int]]:
    """Line and column of each of these places that the text has; the last one where a name stands twice."""
    return {path: _place(text, offset) for path, offset, _ in _walk(text) if path in wanted}


def _place(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _walk(text: str) -> Iterator[tuple[tuple[Key, ...], int, bool]]:
    """Each place of a JSON text that is well formed: its way from the top, its offset (of the name, for a field), and
    whether the name stood in this object before."""
    keys: list[Key] = []  # for each open object or list, the place in it
    seen: list[set[str] | None] = []  # the names of each open object; None for a list
    expects_name = False
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in "}]":
            seen.pop()
            keys.pop()
            expects_name = False
            continue
        if mark == ",":
            if seen[-1] is None:
                keys[-1] = int(keys[-1]) + 1
            expects_name = seen[-1] is not None
            continue
        if mark == ":":
            continue
        names = seen[-1] if seen else None
        if expects_name and names is not None:
            name = json.loads(mark)
            keys[-1] = name
            yield tuple(keys), token.start(), name in names
            names.add(name)
            expects_name = False
            continue
        if not seen or seen[-1] is None:
            yield tuple(keys), token.start(), False
        if mark == "{":
            seen.append(set())
            keys.append("")
            expects_name = True
        elif mark == "[":
            seen.append(None)
            keys.append(0)
