"""The mistakes of a definition: each says where and what, and all of them are told at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.errors import FieldError, ValidationFailed

Key = str | int
MOST = 1000
_SHOWN = 50


@dataclass(frozen=True)
class Mistake(FieldError):
    """One mistake: its JSON Pointer and what is wrong; line and column count from 1, where there is a text."""

    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        return f"{place}{self.pointer or '/'}: {self.detail}"


def told(mistake: FieldError) -> dict[str, Any]:
    """A mistake in any input as JSON tells it: its pointer, what is wrong, and the place in the text where known."""
    shown: dict[str, Any] = {"pointer": mistake.pointer, "detail": mistake.detail}
    if isinstance(mistake, Mistake) and mistake.line is not None:
        shown |= {"line": mistake.line, "column": mistake.column}
    return shown


class InvalidDefinition(ValidationFailed):
    """The definition can't be used; ``errors`` are its mistakes, in the order of the text."""

    code = "WORKFLOW_1"
    title = "Invalid workflow definition"

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        count = len(self.mistakes)
        super().__init__(f"The definition has {count} mistake{'s' * (count != 1)}; see errors.", errors=self.mistakes)

    def __str__(self) -> str:
        more = [f"  and {len(self.mistakes) - _SHOWN} more"] if len(self.mistakes) > _SHOWN else []
        return "\n".join([self.detail, *(f"  {mistake}" for mistake in self.mistakes[:_SHOWN]), *more])


class Path:
    """The way to a place in a document, from its end; cheap to extend."""

    __slots__ = ("_key", "_parent")

    def __init__(self, parent: Path | None = None, key: Key = "") -> None:
        self._parent, self._key = parent, key

    def __truediv__(self, key: Key) -> Path:
        return Path(self, key)

    def keys(self) -> tuple[Key, ...]:
        """The way from the top."""
        keys: list[Key] = []
        at: Path | None = self
        while at is not None and at._parent is not None:
            keys.append(at._key)
            at = at._parent
        return tuple(reversed(keys))


TOP = Path()


def pointer(keys: Sequence[Key]) -> str:
    """The JSON Pointer (RFC 6901) of a way from the top."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


class Report:
    """Collects mistakes, up to ``MOST``; what comes after is only counted."""

    def __init__(self) -> None:
        self.found: list[tuple[tuple[Key, ...], str]] = []
        self.left_out = 0

    @property
    def full(self) -> bool:
        """Whether more mistakes would only be counted; then no work need be spent on saying them well."""
        return len(self.found) >= MOST

    def add(self, path: Path | tuple[Key, ...], detail: str) -> None:
        """Notes a mistake at this place."""
        if self.full:
            self.left_out += 1
            return
        self.found.append((path.keys() if isinstance(path, Path) else path, detail))
