"""The operators of the language by the syntax tree's node for each."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping

from tasks.workflows.expressions.errors import Fault
from tasks.workflows.expressions.limits import Meter
from tasks.workflows.expressions.values import (
    Value,
    add,
    arithmetic,
    contains,
    equal,
    is_number,
    kind,
    number,
    ordered,
)

Binary = Callable[[Meter, Value, Value], Value]


def _order(compare: Callable[[Value, Value], bool]) -> Binary:
    def apply(meter: Meter, left: Value, right: Value) -> bool:
        ordered(meter, left, right)
        return compare(left, right)

    return apply


BINARY: Mapping[type[ast.operator], Binary] = {
    ast.Add: add,
    ast.Sub: arithmetic("-", operator.sub),
    ast.Mult: arithmetic("*", operator.mul),
    ast.Div: arithmetic("/", operator.truediv),
    ast.FloorDiv: arithmetic("//", operator.floordiv),
    ast.Mod: arithmetic("%", operator.mod),
}

COMPARISON: Mapping[type[ast.cmpop], Binary] = {
    ast.Eq: equal,
    ast.NotEq: lambda meter, left, right: not equal(meter, left, right),
    ast.Is: equal,
    ast.IsNot: lambda meter, left, right: not equal(meter, left, right),
    ast.In: lambda meter, left, right: contains(meter, right, left),
    ast.NotIn: lambda meter, left, right: not contains(meter, right, left),
    ast.Lt: _order(operator.lt),
    ast.LtE: _order(operator.le),
    ast.Gt: _order(operator.gt),
    ast.GtE: _order(operator.ge),
}


def negative(value: Value) -> Value:
    """``-value``."""
    if not is_number(value):
        raise Fault(f"'-' takes a number, not {kind(value)}")
    return number(-value)


def positive(value: Value) -> Value:
    """``+value``."""
    if not is_number(value):
        raise Fault(f"'+' takes a number, not {kind(value)}")
    return value
