"""What an evaluation has at hand, and how a fault inside it becomes an error that says where."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tasks.workflows.expressions.errors import Absent, EvaluationError, Excess, Fault, LimitExceeded, Missing
from tasks.workflows.expressions.limits import Meter
from tasks.workflows.expressions.values import Value


class Scope:
    """The values of the names, the variables of loops by number, and the meter."""

    __slots__ = ("meter", "values", "variables")

    def __init__(self, values: Mapping[str, Value], variables: int, meter: Meter) -> None:
        self.values, self.variables, self.meter = values, [None] * variables, meter


Run = Callable[[Scope], Value]


def located(fault: Fault, source: str, offset: int) -> EvaluationError:
    """The error of a fault at this place."""
    if isinstance(fault, Absent):
        return Missing(str(fault), source, offset)
    if isinstance(fault, Excess):
        return LimitExceeded(str(fault), source, offset)
    return EvaluationError(str(fault), source, offset)
