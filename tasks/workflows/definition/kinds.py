"""The kinds of steps, and how one is added.

    @KINDS.kind("slack", {"channel": Field(Text(1, 80, template=True), required=True)})
    def post(...): ...

A kind says which arguments a step of it has in ``with``, and how such a step behaves for planning. What runs it is
registered beside it, and is not looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tasks.workflows.definition.context import Context
from tasks.workflows.definition.mistakes import TOP, InvalidDefinition, Mistake, Report, pointer
from tasks.workflows.definition.model import KEY, STEP_TIMEOUT_S
from tasks.workflows.definition.shapes import Field, Shape, Verify
from tasks.workflows.expressions.limits import Meter
from tasks.workflows.expressions.templates import compile_tree
from tasks.workflows.expressions.values import Value

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Kind:
    """A kind of step.

    ``arguments``: the shape of ``with``. ``ends_piece``: no step travels behind it, because it may wait without a
    worker or decides what comes next. ``inside``: it may stand in a map and as a compensation; one that waits may
    not. ``timeout_s``: of an attempt, where nothing else is said; None: it has no time of its own. ``queue``: where
    steps of it wait for a worker unless they name another; a kind with a queue of its own needs workers that take it.
    ``slow``: its attempts take seconds or more, so that each travels in a message of its own and none waits behind
    another.
    """

    name: str
    arguments: Shape
    about: str = ""
    ends_piece: bool = False
    inside: bool = True
    timeout_s: float | None = STEP_TIMEOUT_S
    queue: str = "workflows"
    slow: bool = False

    def render(
        self, arguments: Mapping[str, Any], values: Mapping[str, Value], meter: Meter | None = None
    ) -> dict[str, Any]:
        """The arguments of one attempt: all templates rendered with ``values`` (deferred fields stay as they are),
        and checked again, since a template's value may be anything.

        Raises EvaluationError (an expression), InvalidDefinition (a value that does not fit).
        """
        shown = {name: value for name, value in arguments.items() if not self.arguments.fields[name].deferred}
        kept = {name: value for name, value in arguments.items() if name not in shown}
        tree = compile_tree(shown, frozenset(values))
        rendered: dict[str, Any] = tree.render(values, meter)
        if rendered is shown:
            return dict(arguments)
        report = Report()
        fields = {name: one for name, one in self.arguments.fields.items() if not one.deferred}
        checked = Shape(fields, self.arguments.verify).check(rendered, TOP, Context(report, Kinds(), rendered=True))
        if report.found:
            raise InvalidDefinition([Mistake("/with" + pointer(keys), detail) for keys, detail in report.found])
        return {**checked, **kept}


@dataclass(frozen=True)
class Kinds:
    """A registry of kinds. ``runners``: what runs each, as far as it was registered."""

    _kinds: dict[str, Kind] = field(default_factory=dict)
    runners: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def add(self, kind: Kind) -> Kind:
        """Adds a kind. Raises ValueError for a name that is taken by another one, or is no name."""
        if not re.fullmatch(KEY, kind.name):
            raise ValueError(f"{kind.name!r} can't be a kind's name")
        if self._kinds.get(kind.name, kind) is not kind:
            raise ValueError(f"there is a kind '{kind.name}' already")
        self._kinds[kind.name] = kind
        return kind

    def kind(
        self, name: str, arguments: Mapping[str, Field], *, verify: Verify | None = None, **properties: Any
    ) -> Callable[[F], F]:
        """Adds a kind and registers the function as what runs it; ``properties`` are those of ``Kind``."""
        kind = Kind(name, Shape(arguments, verify), **properties)

        def register(runner: F) -> F:
            self.add(kind)
            self.runners[name] = runner
            return runner

        return register

    def runs(self, name: str) -> Callable[[F], F]:
        """Registers the function as what runs a kind that is there already. Raises KeyError for one that is not."""
        kind = self[name]

        def register(runner: F) -> F:
            self.runners[kind.name] = runner
            return runner

        return register

    def copy(self) -> Kinds:
        """A registry of its own with the same kinds."""
        return Kinds(dict(self._kinds), dict(self.runners))

    def __getitem__(self, name: str) -> Kind:
        return self._kinds[name]

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)
