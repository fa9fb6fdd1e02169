"""The functions of the language: by name, what each takes and gives.

Each takes the meter and the values, and spends before it looks or makes. ``default``, ``has`` and ``matches`` are
forms that the compiler knows itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tasks.workflows.expressions import lists, texts
from tasks.workflows.expressions.arguments import a_whole_number
from tasks.workflows.expressions.errors import Fault
from tasks.workflows.expressions.limits import Meter
from tasks.workflows.expressions.values import Value, add, is_number, kind, number


@dataclass(frozen=True)
class Function:
    """``call(meter, *values)`` with ``least`` to ``most`` values."""

    call: Callable[..., Value]
    least: int
    most: int


def _len(_: Meter, value: Value) -> int:
    if type(value) not in (str, list, dict):
        raise Fault(f"{kind(value)} has no length")
    return len(value)


def _int(_: Meter, value: Value) -> int:
    try:
        if is_number(value) or type(value) is bool or (type(value) is str and len(value) <= 40):
            return int(number(int(value)))
    except ValueError:
        pass
    raise Fault("not a whole number")


def _float(_: Meter, value: Value) -> float:
    try:
        if is_number(value) or type(value) is bool or (type(value) is str and len(value) <= 40):
            return float(number(float(value)))
    except ValueError:
        pass
    raise Fault("not a number")


def _round(_: Meter, value: Value, digits: Value = 0) -> Value:
    if not is_number(value) or not -20 <= a_whole_number(digits) <= 20:
        raise Fault("round takes a number, and digits from -20 to 20")
    return number(round(value, digits) if digits else round(value))


def _abs(_: Meter, value: Value) -> Value:
    if not is_number(value):
        raise Fault(f"abs takes a number, not {kind(value)}")
    return number(abs(value))


def _type(_: Meter, value: Value) -> str:
    return kind(value).split()[-1] if type(value) is not bool else "boolean"


def _concat(meter: Meter, *values: Value) -> Value:
    whole = values[0]
    for value in values[1:]:
        whole = add(meter, whole, value)
    return whole


FUNCTIONS: Mapping[str, Function] = {
    "abs": Function(_abs, 1, 1),
    "all": Function(lists.all_of, 1, 1),
    "any": Function(lists.any_of, 1, 1),
    "bool": Function(lambda _, value: bool(value), 1, 1),
    "concat": Function(_concat, 1, 20),
    "endswith": Function(texts.edge(str.endswith), 2, 2),
    "first": Function(lists.end(0), 1, 1),
    "flatten": Function(lists.flatten, 1, 1),
    "float": Function(_float, 1, 1),
    "get": Function(lists.get, 2, 3),
    "int": Function(_int, 1, 1),
    "items": Function(lists.items, 1, 1),
    "join": Function(texts.join, 1, 2),
    "json": Function(texts.as_json, 1, 1),
    "keys": Function(lists.keys, 1, 1),
    "last": Function(lists.end(-1), 1, 1),
    "len": Function(_len, 1, 1),
    "lower": Function(texts.changed(str.lower), 1, 1),
    "max": Function(lists.extreme(max), 1, 20),
    "merge": Function(lists.merge, 1, 20),
    "min": Function(lists.extreme(min), 1, 20),
    "parse_json": Function(texts.parse_json, 1, 1),
    "range": Function(lists.numbers, 1, 3),
    "replace": Function(texts.replace, 3, 3),
    "reversed": Function(lists.backwards, 1, 1),
    "round": Function(_round, 1, 2),
    "sorted": Function(lists.in_order, 1, 2),
    "split": Function(texts.split, 1, 2),
    "startswith": Function(texts.edge(str.startswith), 2, 2),
    "str": Function(texts.as_text, 1, 1),
    "strip": Function(texts.changed(str.strip), 1, 1),
    "sum": Function(lists.total, 1, 1),
    "type": Function(_type, 1, 1),
    "unique": Function(lists.unique, 1, 1),
    "upper": Function(texts.changed(str.upper), 1, 1),
    "values": Function(lists.values, 1, 1),
    "zip": Function(lists.together, 2, 5),
}
