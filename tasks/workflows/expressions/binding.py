"""What building an expression needs to know: its source, the names it may read and reads, the variables of loops."""

from __future__ import annotations

import ast
from typing import NoReturn

from tasks.workflows.expressions import names
from tasks.workflows.expressions.errors import Fault, InvalidExpression
from tasks.workflows.expressions.scope import Run, Scope, located
from tasks.workflows.expressions.syntax import Source
from tasks.workflows.expressions.values import Value, kind


class Binder:
    """``reads``: the names read so far; ``steps``: the keys of the steps read; ``bound``: the variables of the loops
    around, by number; ``variables``: how many numbers were given."""

    def __init__(self, source: Source, allowed: frozenset[str]) -> None:
        self.source, self.allowed = source, allowed
        self.reads: set[str] = set()
        self.steps: set[str] = set()
        self.variables = 0
        self.bound: dict[str, int] = {}

    def refuse(self, detail: str, node: ast.AST) -> NoReturn:
        """Raises InvalidExpression at the node."""
        raise InvalidExpression(detail, self.source.text, self.source.offset(node))

    def guarded(self, node: ast.AST, call: Run) -> Run:
        """The closure, whose faults say where they happened."""
        source, offset = self.source.text, self.source.offset(node)

        def run(scope: Scope) -> Value:
            try:
                return call(scope)
            except Fault as fault:
                raise located(fault, source, offset) from None

        return run

    def bind(self, target: ast.expr) -> int | tuple[int, ...]:
        """The numbers of the variables that a loop sets."""
        if isinstance(target, ast.Tuple):
            return tuple(self._number(part) for part in target.elts)
        return self._number(target)

    def _number(self, target: ast.expr) -> int:
        if not isinstance(target, ast.Name):
            self.refuse("a loop sets plain names", target)
        if target.id in self.allowed or target.id in names.CONSTANTS:
            self.refuse(f"'{target.id}' has a meaning; a loop needs another name", target)
        self.bound[target.id] = self.variables
        self.variables += 1
        return self.bound[target.id]


def assign(variables: list[Value], slots: int | tuple[int, ...], item: Value) -> None:
    """Sets the variables of a loop to an item. Raises Fault where a list of as many is needed."""
    if isinstance(slots, int):
        variables[slots] = item
        return
    if type(item) is not list or len(item) != len(slots):
        raise Fault(f"the loop sets {len(slots)} names, which takes a list of {len(slots)}, not {kind(item)}")
    for slot, part in zip(slots, item, strict=True):
        variables[slot] = part
