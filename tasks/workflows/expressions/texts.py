"""The functions on texts."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from tasks.nul import holds_nul
from tasks.workflows.expressions.arguments import a_list, a_text
from tasks.workflows.expressions.errors import Fault
from tasks.workflows.expressions.limits import Meter
from tasks.workflows.expressions.values import Value, check_depth, encode, is_number, measure, text


def changed(change: Callable[[str], str]) -> Callable[..., str]:
    """A function that makes a text of a text: no more than three times as long."""

    def call(meter: Meter, value: Value) -> str:
        meter.write(len(a_text(value)) * 3)  # one character may become three: ΐ in capitals
        return change(value)

    return call


def split(meter: Meter, value: Value, separator: Value = None) -> list[str]:
    """The parts between separators; without one, the words."""
    if separator is not None and not a_text(separator):
        raise Fault("the separator is empty")
    # Each part is a text of its own, which costs more than its characters.
    meter.write(len(a_text(value)))
    meter.spend(2 * (value.count(separator) + 1 if separator else len(value)))
    return list(value.split(separator))


def join(meter: Meter, values: Value, separator: Value = "") -> str:
    """The texts and numbers one after the other, the separator between them. Takes its arguments in either order."""
    if type(values) is str and type(separator) is list:  # Python's order: separator.join(values)
        values, separator = separator, values
    several = a_list(values)
    meter.spend(len(several))
    if type(separator) is not str or not all(type(value) is str or is_number(value) for value in several):
        raise Fault("join takes a list of texts or numbers, and a text")
    length = sum(len(value) if type(value) is str else 24 for value in several)
    meter.write(length + len(separator) * len(several))
    return separator.join(text(meter, value) for value in several)


def replace(meter: Meter, value: Value, old: Value, new: Value) -> str:
    """Every ``old`` becomes ``new``."""
    if not a_text(old):
        raise Fault("the text to replace is empty")
    meter.read(len(a_text(value)))
    meter.write(len(value) + value.count(old) * max(0, len(a_text(new)) - len(old)))
    return str(value.replace(old, new))


def edge(ask: Callable[[str, str], bool]) -> Callable[..., bool]:
    """A question about the beginning or the end of a text."""

    def call(meter: Meter, value: Value, edge: Value) -> bool:
        meter.read(len(a_text(edge)))
        return ask(a_text(value), edge)

    return call


def as_text(meter: Meter, value: Value) -> str:
    """The value as it would look in a template."""
    return text(meter, value)


def as_json(meter: Meter, value: Value) -> str:
    """The value as JSON."""
    meter.write(measure(meter, value, meter.limits.text))
    return encode(value)


def parse_json(meter: Meter, value: Value) -> Value:
    """The value that a text of JSON says."""
    meter.spend(len(a_text(value)))
    try:
        parsed = orjson.loads(value)
    except ValueError as error:
        raise Fault(f"not JSON: {error}") from None
    check_depth(parsed, meter.limits.nesting)
    if holds_nul(value.encode()):
        raise Fault("JSON with a NUL character")
    return parsed
