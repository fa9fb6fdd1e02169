"""The functions on lists and objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tasks.workflows.expressions.arguments import a_list, a_whole_number, an_object
from tasks.workflows.expressions.errors import Absent, Excess, Fault
from tasks.workflows.expressions.limits import Meter
from tasks.workflows.expressions.values import Value, equal, field, is_number, number


def _comparable(meter: Meter, values: Sequence[Value], weight: int) -> None:
    """Raises Fault unless these are all numbers or all texts; spends for comparing each ``weight`` times."""
    meter.spend(len(values) * weight)
    if all(map(is_number, values)):
        return
    if not all(type(value) is str for value in values):
        raise Fault("only numbers alone, or texts alone, have an order")
    meter.read(sum(map(len, values)) * weight)


def extreme(choose: Callable[[Any], Any]) -> Callable[..., Value]:
    """The least or the greatest of several values, or of one list."""

    def call(meter: Meter, *values: Value) -> Value:
        several = a_list(values[0]) if len(values) == 1 else list(values)
        if not several:
            raise Absent("there is no least or greatest of nothing")
        _comparable(meter, several, 1)
        return choose(several)

    return call


def _numbers(meter: Meter, value: Value) -> list[int | float]:
    meter.spend(len(a_list(value)))
    if not all(map(is_number, value)):
        raise Fault("a list of numbers is needed")
    return value  # type: ignore[no-any-return]


def total(meter: Meter, values: Value) -> Value:
    """The sum of a list of numbers."""
    return number(sum(_numbers(meter, values)))


def in_order(meter: Meter, values: Value, by: Value = None) -> list[Value]:
    """The list in ascending order; of objects by a field or of lists by an item. Equal ones keep their order."""
    several = a_list(values)
    keys = several if by is None else [field(value, by) for value in several]
    _comparable(meter, keys, max(1, len(keys)).bit_length())
    return [several[i] for i in sorted(range(len(keys)), key=keys.__getitem__)]


def backwards(meter: Meter, values: Value) -> Value:
    """The list or text from its end."""
    if type(values) is str:
        meter.write(len(values))
        return values[::-1]
    meter.spend(len(a_list(values)))
    return values[::-1]


def any_of(meter: Meter, values: Value) -> bool:
    """Whether any of the list counts as true."""
    meter.spend(len(a_list(values)))
    return any(values)


def all_of(meter: Meter, values: Value) -> bool:
    """Whether all of the list count as true."""
    meter.spend(len(a_list(values)))
    return all(values)


def numbers(meter: Meter, *bounds: Value) -> list[int]:
    """The whole numbers from a start (0) to before a stop, by a step (1), as Python counts them."""
    try:
        numbers = range(*map(a_whole_number, bounds))
    except ValueError:
        raise Fault("the step is 0") from None
    if max(abs(numbers.start), abs(numbers.stop)) > 2**53:
        raise Excess("a range out of bounds")
    meter.spend(len(numbers))
    return list(numbers)


def keys(meter: Meter, value: Value) -> list[str]:
    """The names of an object's fields."""
    meter.spend(len(an_object(value)))
    return list(value)


def values(meter: Meter, value: Value) -> list[Value]:
    """The values of an object's fields."""
    meter.spend(len(an_object(value)))
    return list(value.values())


def items(meter: Meter, value: Value) -> list[Value]:
    """Each field as a list of its name and value."""
    meter.spend(3 * len(an_object(value)))
    return [[name, part] for name, part in value.items()]


def get(_: Meter, value: Value, name: Value, otherwise: Value = None) -> Value:
    """The field or item, or ``otherwise`` where there is none."""
    try:
        return field(value, name)
    except Absent:
        return otherwise


def end(place: int) -> Callable[..., Value]:
    """The first or the last of a list or text."""
    return lambda _, value: field(value if type(value) is str else a_list(value), place)


def unique(meter: Meter, values: Value) -> list[Value]:
    """The values without repetitions, in the order of the first ones."""
    kept: list[Value] = []
    seen: set[tuple[type, Value]] = set()
    for value in a_list(values):
        meter.spend(1)
        if type(value) in (list, dict):
            if not any(equal(meter, value, other) for other in kept):
                kept.append(value)
            continue
        # 1 and 1.0 are one number, and neither is true.
        mark = bool if type(value) is bool else type(None) if value is None else str if type(value) is str else float
        if type(value) is str:
            meter.read(len(value))
        if (mark, value) not in seen:
            seen.add((mark, value))
            kept.append(value)
    return kept


def flatten(meter: Meter, values: Value) -> list[Value]:
    """One list of the items of several."""
    flat: list[Value] = []
    for value in a_list(values):
        meter.spend(1 + len(a_list(value)))
        flat += value
    return flat


def together(meter: Meter, *lists: Value) -> list[Value]:
    """The first items together, then the second ones; as long as the shortest list."""
    meter.spend((len(lists) + 1) * min(len(a_list(values)) for values in lists))
    return [list(row) for row in zip(*lists, strict=False)]


def merge(meter: Meter, *objects: Value) -> dict[str, Value]:
    """One object with the fields of all; later ones win."""
    merged: dict[str, Value] = {}
    for one in objects:
        meter.spend(2 * len(an_object(one)))
        merged |= one
    return merged
