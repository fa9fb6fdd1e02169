"""Whether a value is made of JSON's values alone, and not too large or too deep."""

from __future__ import annotations

import math
import re
from typing import Any

from tasks.workflows.definition.mistakes import TOP, Key, Path, Report

DEPTH = 48
NODES = 1_000_000
CHARACTERS = 16_000_000
_KEY = 500
_INTEGER = 2**63
# PostgreSQL's texts hold no NUL, and half a surrogate pair is no character.
_NO_TEXT = "a text with NUL, or with half a surrogate pair"
_WIDTH = 8  # about what a number or a bracket takes
_FORBIDDEN = re.compile("[\0\ud800-\udfff]")


class TooMuch(Exception):
    """The value is too large to be looked at any further; the report says so."""


def check_plain(value: Any, report: Report) -> None:
    """Notes what is not JSON, with its place: other types, keys that are no texts, NUL, lone surrogates, numbers that
    64 bits do not hold. Raises TooMuch, having noted that too, for more nodes, characters or depth than allowed."""
    if _is_plain(value):
        return
    nodes = characters = depth = 0
    level: list[tuple[Path, Any]] = [(TOP, value)]
    while level:
        depth += 1
        below: list[tuple[Path, Any]] = []
        for path, part in level:
            kind = type(part)
            if kind is dict:
                nodes += len(part)
                for key, inner in part.items():
                    if type(key) is not str:
                        report.add(path, f"a key is a text, not {type(key).__name__}")
                        continue
                    if len(key) > _KEY or _FORBIDDEN.search(key):
                        report.add(path, f"a key of more than {_KEY} characters, or with one that is not allowed")
                    characters += len(key) + _inner(path, key, inner, below, report)
            elif kind is list:
                nodes += len(part)
                for index, inner in enumerate(part):
                    characters += _inner(path, index, inner, below, report)
            else:
                characters += _scalar(path, part, report)
        if nodes > NODES or characters > CHARACTERS:
            report.add(TOP, f"more than {NODES} values or {CHARACTERS} characters")
            raise TooMuch
        if depth > DEPTH and below:
            report.add(below[0][0], f"nested deeper than {DEPTH}")
            raise TooMuch
        level = below


def _is_plain(value: Any) -> bool:
    """Whether there is nothing to note, found out without keeping places: most values are as they should be."""
    nodes = characters = 0
    level: list[Any] = [value]
    for _ in range(DEPTH + 1):
        below: list[Any] = []
        for part in level:
            kind = type(part)
            if kind is str:
                characters += len(part)
                if _FORBIDDEN.search(part):
                    return False
            elif kind is dict:
                below += part.values()
                nodes += len(part)
                for key in part:
                    if type(key) is not str or len(key) > _KEY or _FORBIDDEN.search(key):
                        return False
                    characters += len(key)
            elif kind is list:
                below += part
                nodes += len(part)
            elif kind is int:
                if not -_INTEGER <= part < _INTEGER:
                    return False
            elif (kind is float and not math.isfinite(part)) or kind not in (float, bool, type(None)):
                return False
        if nodes > NODES or characters > CHARACTERS:
            return False
        if not below:
            return True
        level = below
    return False


def _inner(path: Path, key: Key, inner: Any, below: list[tuple[Path, Any]], report: Report) -> int:
    """Checks a value inside another; how many characters it has. Lists and objects are left for the next level."""
    kind = type(inner)
    if kind is str:
        if _FORBIDDEN.search(inner):
            report.add(path / key, _NO_TEXT)
        return len(inner)
    if kind is dict or kind is list:
        below.append((path / key, inner))
    elif kind is not bool and inner is not None:
        return _scalar(path / key, inner, report)
    return _WIDTH


def _scalar(path: Path, value: Any, report: Report) -> int:
    if type(value) is int:
        if not -_INTEGER <= value < _INTEGER:
            report.add(path, "a whole number that 64 bits do not hold")
    elif type(value) is float:
        if not math.isfinite(value):
            report.add(path, "a number that JSON does not have")
    elif type(value) is str:
        if _FORBIDDEN.search(value):
            report.add(path, _NO_TEXT)
        return len(value)
    elif value is not None and type(value) is not bool:
        report.add(path, f"not a value of JSON: {type(value).__name__}")
    return _WIDTH
