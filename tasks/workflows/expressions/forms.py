"""The calls that are no functions, because they look at an expression and not only at its value.

``default(a.b, 0)`` is ``0`` where ``a.b`` is missing or null; ``has(a.b)`` asks whether it is there, null included;
``matches(text, r'^\\d+$')`` takes a constant pattern, which is compiled once (``patterns``: linear time).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, Protocol

from tasks.workflows.expressions.errors import Fault, Missing
from tasks.workflows.expressions.patterns import compile_pattern
from tasks.workflows.expressions.scope import Run, Scope
from tasks.workflows.expressions.values import Value, kind


class Building(Protocol):
    """What a form needs of the builder."""

    def build(self, node: ast.AST) -> Run:
        """The closure of a node."""

    def refuse(self, detail: str, node: ast.AST) -> NoReturn:
        """Raises InvalidExpression at the node."""

    def guarded(self, node: ast.AST, call: Run) -> Run:
        """The closure, whose faults say where they happened."""


def _default(builder: Building, node: ast.Call, arguments: Sequence[ast.expr]) -> Run:
    if len(arguments) != 2:
        builder.refuse(f"'default' takes 2 values, not {len(arguments)}", node)
    asked, otherwise = map(builder.build, arguments)

    def run(scope: Scope) -> Value:
        try:
            value = asked(scope)
        except Missing:
            value = None
        return otherwise(scope) if value is None else value

    return run


def _has(builder: Building, node: ast.Call, arguments: Sequence[ast.expr]) -> Run:
    if len(arguments) != 1:
        builder.refuse(f"'has' takes 1 value, not {len(arguments)}", node)
    asked = builder.build(arguments[0])

    def run(scope: Scope) -> Value:
        try:
            asked(scope)
        except Missing:
            return False
        return True

    return run


def _matches(builder: Building, node: ast.Call, arguments: Sequence[ast.expr]) -> Run:
    if len(arguments) != 2:
        builder.refuse(f"'matches' takes 2 values, not {len(arguments)}", node)
    pattern = arguments[1]
    if not isinstance(pattern, ast.Constant) or not isinstance(pattern.value, str):
        builder.refuse("the pattern of 'matches' is a constant text", pattern)
    try:
        has_match = compile_pattern(pattern.value)
    except ValueError as error:
        builder.refuse(str(error), pattern)
    value, cost = builder.build(arguments[0]), len(pattern.value)

    def run(scope: Scope) -> Value:
        text = value(scope)
        if type(text) is not str:
            raise Fault(f"'matches' takes a text, not {kind(text)}")
        scope.meter.read(len(text) * cost)
        return has_match(text)

    return builder.guarded(node, run)


FORMS: Mapping[str, Callable[[Building, ast.Call, Sequence[ast.expr]], Run]] = {
    "default": _default,
    "has": _has,
    "matches": _matches,
}
