"""What a function of the language may take: each check returns the value, or raises Fault."""

from __future__ import annotations

from tasks.workflows.expressions.errors import Fault
from tasks.workflows.expressions.values import Value, kind


def a_text(value: Value) -> str:
    if type(value) is not str:
        raise Fault(f"a text is needed, not {kind(value)}")
    return value


def a_list(value: Value) -> list[Value]:
    if type(value) is not list:
        raise Fault(f"a list is needed, not {kind(value)}")
    return value


def an_object(value: Value) -> dict[str, Value]:
    if type(value) is not dict:
        raise Fault(f"an object is needed, not {kind(value)}")
    return value


def a_whole_number(value: Value) -> int:
    if type(value) is not int:
        raise Fault(f"a whole number is needed, not {kind(value)}")
    return value
