"""The Python functions that steps of the kind ``task`` call, by their registered names.

    @step("shop.ship", max_attempts=5, timeout_s=20)
    def ship(attempt: Attempt, order_id: str) -> dict[str, str]: ...

A function that names its first parameter ``attempt`` is given the ``Attempt``; the others are the step's ``args``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from tasks.workflows.attempt import Attempt, Refused
from tasks.workflows.definition.model import NAME, RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class StepFunction:
    """A registered function; ``retry`` and ``timeout_s`` hold where a step says nothing else (None: the defaults)."""

    name: str
    call: Callable[..., Any]
    retry: RetryPolicy | None = None
    timeout_s: float | None = None

    @cached_property
    def signature(self) -> inspect.Signature:
        """What it takes."""
        return inspect.signature(self.call)

    def run(self, attempt: Attempt, arguments: Mapping[str, Any]) -> Any:
        """Calls it. Raises Refused where the arguments are not those of its signature."""
        given = (attempt,) if next(iter(self.signature.parameters), None) == "attempt" else ()
        try:
            self.signature.bind(*given, **arguments)
        except TypeError as problem:
            raise Refused(f"{self.name}: {problem}", error_type="TypeError") from None
        return self.call(*given, **arguments)


_functions: dict[str, StepFunction] = {}


def step(
    name: str,
    *,
    retry: RetryPolicy | None = None,
    max_attempts: int | None = None,
    timeout_s: float | None = None,
) -> Callable[[F], F]:
    """Registers a function as a step task. ``max_attempts`` is short for a retry policy of that many attempts.

    Raises:
        ValueError: the name can't be one, or another function has it.
    """
    if not re.fullmatch(NAME, name):
        raise ValueError(f"{name!r} can't be a step task's name")
    policy = retry or (RetryPolicy(max_attempts=max_attempts) if max_attempts else None)

    def register(function: F) -> F:
        known = _functions.get(name)
        if known is not None and (known.call.__module__, known.call.__qualname__) != (
            function.__module__,
            function.__qualname__,
        ):
            raise ValueError(
                f"there is a step task {name!r} already, {known.call.__module__}.{known.call.__qualname__}"
            )
        _functions[name] = StepFunction(name, function, policy, timeout_s)
        return function

    return register


def function(name: str) -> StepFunction:
    """The function of this name. Raises KeyError."""
    return _functions[name]


def names() -> frozenset[str]:
    """The names that are registered in this process."""
    return frozenset(_functions)
