"""The bounds of an expression, and the meter that an evaluation spends from."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.workflows.expressions.errors import Excess


@dataclass(frozen=True)
class Limits:
    """``source``: characters of one expression; ``nodes``, ``depth``: of its syntax tree; ``cost``: units that one
    evaluation may spend, about one for each value looked at or made and for each 8 characters; ``text``:
    characters of any text it makes; ``output``: size of its result, in characters of JSON, roughly;
    ``nesting``: of lists and objects in it."""

    source: int = 4000
    nodes: int = 500
    depth: int = 60
    cost: int = 500_000
    text: int = 1_000_000
    output: int = 4_000_000
    nesting: int = 64


DEFAULT = Limits()

_CHARACTERS = 8


class Meter:
    """What an evaluation, or several that share it, may still spend."""

    __slots__ = ("left", "limits")

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self.limits = limits
        self.left = limits.cost

    def spend(self, units: int) -> None:
        """Raises Excess when that is more than what is left."""
        self.left -= units
        if self.left < 0:
            raise Excess("the expression takes too long")

    def read(self, characters: int) -> None:
        """Spends for looking at a text."""
        self.spend(characters // _CHARACTERS + 1)

    def write(self, characters: int) -> None:
        """Spends for making a text, before it is made."""
        if characters > self.limits.text:
            raise Excess(f"a text of {characters} characters; {self.limits.text} are allowed")
        self.read(characters)
