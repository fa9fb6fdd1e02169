"""JSON's values as the language sees them: comparing, adding, measuring and writing them, all within a meter.

Values are never changed in place, so that a result may share parts with what it was made from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import orjson

from tasks.workflows.expressions.errors import Absent, Excess, Fault
from tasks.workflows.expressions.limits import Meter

Value = Any  # None, bool, int, float, str, list or dict of them: JSON's values
_INTEGER = 2**63


def kind(value: Value) -> str:
    """What JSON calls it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "an object"
    raise Fault(f"{type(value).__name__} is not a value of JSON")


def is_number(value: Value) -> bool:
    """Whether it is a number; true and false are none."""
    return type(value) is int or type(value) is float


def number(value: Value) -> int | float:
    """The result of arithmetic, if JSON can say it."""
    if type(value) is int and -_INTEGER <= value < _INTEGER:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    raise Excess("a number out of range")


def field(value: Value, name: Value) -> Value:
    """``value.name``, ``value['name']`` or ``value[index]``. Raises Absent where there is none."""
    if type(value) is dict:
        if type(name) is not str:
            raise Fault(f"an object's field is named by a text, not by {kind(name)}")
        if name not in value:
            raise Absent(f"there is no field {name[:80]!r}")
        return value[name]
    if type(value) in (list, str) and type(name) is int:
        if not -len(value) <= name < len(value):
            raise Absent(f"there is no item {name} of {len(value)}")
        return value[name]
    if value is None:
        raise Absent(f"null has no {_shown(name)}")
    raise Fault(f"{kind(value)} has no {_shown(name)}")


def _shown(name: Value) -> str:
    return f"field {name[:80]!r}" if type(name) is str else f"item {name}" if is_number(name) else "such field"


def part(meter: Meter, value: Value, start: Value, stop: Value) -> Value:
    """``value[start:stop]`` of a text or a list."""
    if type(value) not in (list, str):
        raise Fault(f"{kind(value)} has no items")
    if any(bound is not None and type(bound) is not int for bound in (start, stop)):
        raise Fault("items are counted in whole numbers")
    piece = slice(start, stop)
    size = len(range(*piece.indices(len(value))))
    meter.write(size) if type(value) is str else meter.spend(size)
    return value[piece]


def equal(meter: Meter, left: Value, right: Value) -> bool:
    """Whether two values are the same by JSON: 1 and 1.0 are, 1 and true are not. Spends for what it looks at."""
    todo = [(left, right)]
    while todo:
        a, b = todo.pop()
        meter.spend(1)
        if type(a) is dict and type(b) is dict:
            if len(a) != len(b):
                return False
            meter.spend(len(a))
            if a.keys() != b.keys():
                return False
            todo += [(value, b[key]) for key, value in a.items()]
        elif type(a) is list and type(b) is list:
            if len(a) != len(b):
                return False
            meter.spend(len(a))
            todo += zip(a, b, strict=True)
        elif type(a) is str and type(b) is str:
            meter.read(min(len(a), len(b)))
            if a != b:
                return False
        elif a is not b and not (is_number(a) and is_number(b) and a == b):
            return False
    return True


def contains(meter: Meter, container: Value, value: Value) -> bool:
    """``value in container``: a text in a text, an item in a list, a field's name in an object."""
    if type(container) is list:
        return any(equal(meter, item, value) for item in container)
    if type(container) is dict:
        return type(value) is str and value in container
    if type(container) is str and type(value) is str:
        meter.read(len(container))
        return value in container
    raise Fault(f"'in' asks a list, an object or (for a text) a text, not {kind(container)}")


def ordered(meter: Meter, left: Value, right: Value) -> None:
    """Raises Fault unless one can be less than the other: two numbers or two texts."""
    if is_number(left) and is_number(right):
        return
    if type(left) is str and type(right) is str:
        meter.read(min(len(left), len(right)))
        return
    raise Fault(f"{kind(left)} and {kind(right)} have no order")


def add(meter: Meter, left: Value, right: Value) -> Value:
    """The sum of numbers; texts or lists one after the other."""
    if is_number(left) and is_number(right):
        return number(left + right)
    if type(left) is str and type(right) is str:
        meter.write(len(left) + len(right))
        return left + right
    if type(left) is list and type(right) is list:
        meter.spend(len(left) + len(right))
        return left + right
    hint = "; write str(…), or a template" if str in (type(left), type(right)) else ""
    raise Fault(f"{kind(left)} and {kind(right)} can't be added{hint}")


def arithmetic(symbol: str, operation: Callable[[Any, Any], Any]) -> Callable[[Meter, Value, Value], Value]:
    """The operator on two numbers."""

    def apply(_: Meter, left: Value, right: Value) -> Value:
        if not (is_number(left) and is_number(right)):
            raise Fault(f"'{symbol}' takes two numbers, not {kind(left)} and {kind(right)}")
        try:
            return number(operation(left, right))
        except ZeroDivisionError:
            raise Fault("division by zero") from None
        except OverflowError:
            raise Excess("a number out of range") from None

    return apply


def measure(meter: Meter, value: Value, limit: int) -> int:
    """About how many characters of JSON this is. Raises Excess above the limit; looks at little more than that."""
    size, todo = 0, [value]
    while todo:
        part = todo.pop()
        if type(part) is str:
            size += len(part) + 3
        elif type(part) is list:
            size += len(part) + 2
            todo += part if size <= limit else []
        elif type(part) is dict:
            size += sum(len(key) + 4 for key in part) + 2
            todo += part.values() if size <= limit else []
        else:
            size += 5
        if size > limit:
            raise Excess(f"a value of more than {limit} characters")
    meter.read(size)
    return size


def text(meter: Meter, value: Value) -> str:
    """How a value looks inside a text: texts as they are, null as nothing, lists and objects as JSON."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if type(value) in (list, dict):
        meter.write(measure(meter, value, meter.limits.text))
    return encode(value)


def encode(value: Value) -> str:
    """The value as JSON. Raises Fault where it is nested too deeply; its size was measured before."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        raise Fault("not a value of JSON, or nested too deeply") from None


def check_depth(value: Value, limit: int) -> None:
    """Raises Excess where lists and objects are nested deeper than that."""
    level = [value]
    for _ in range(limit + 1):
        level = [
            part
            for whole in level
            if type(whole) in (list, dict)
            for part in (whole if type(whole) is list else whole.values())
            if type(part) in (list, dict)
        ]
        if not level:
            return
    raise Excess(f"a value nested deeper than {limit}")
