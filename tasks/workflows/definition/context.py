"""What checking a value needs to know: where mistakes go, which names expressions may read, and what exists."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from tasks.workflows.definition.mistakes import Path, Report
from tasks.workflows.expressions import names
from tasks.workflows.expressions.errors import InvalidExpression
from tasks.workflows.expressions.templates import compile_condition, compile_template, is_template, step_of_path


@dataclass(frozen=True)
class Known:
    """What exists where the definition is to run; None means that it is not known, and is not checked.

    ``tasks``: registered functions; ``queues``; ``connections``: of ``sql``; ``secrets``: of ``http``;
    ``workflows``: names of definitions.
    """

    tasks: Collection[str] | None = None
    queues: Collection[str] | None = None
    connections: Collection[str] | None = None
    secrets: Collection[str] | None = None
    workflows: Collection[str] | None = None


class KindLike(Protocol):
    """What checking needs of a kind (``kinds.py``)."""

    @property
    def arguments(self) -> Checks:
        """The shape of ``with``."""

    @property
    def inside(self) -> bool:
        """Whether it may stand in a map and as a compensation."""


class Checks(Protocol):
    """What checks a value."""

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """The value in its normal form."""


class KindsLike(Protocol):
    """What checking needs of a registry of kinds."""

    def __getitem__(self, name: str) -> KindLike: ...

    def __contains__(self, name: object) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...


@dataclass(frozen=True)
class Read:
    """An expression of a step (by its number; None: of the definition itself) reads other steps' results."""

    step: int | None
    path: Path
    keys: frozenset[str]
    own: bool  # whether it may read its own step's result


@dataclass(frozen=True)
class Context:
    """``names``: what expressions may read here. ``rendered``: the values have been rendered, so that no text in
    them is a template any more, whatever it looks like. ``step``, ``own``: see ``Read``, for those that are noted."""

    report: Report
    kinds: KindsLike
    known: Known = field(default_factory=Known)
    names: frozenset[str] = names.STEP
    rendered: bool = False
    step: int | None = None
    own: bool = False
    reads: list[Read] = field(default_factory=list)

    def wrong(self, path: Path, detail: str) -> None:
        """Notes a mistake."""
        self.report.add(path, detail)

    def template(self, value: object, path: Path, *, exact: bool) -> bool:
        """Whether the value is a template, whose expressions are then checked; ``exact``: it must be one expression
        alone, since no text is wanted here."""
        if self.rendered or type(value) is not str or not is_template(value):
            return False
        step = step_of_path(value, self.names)
        if step is not None:
            self._note(frozenset({step}) if step else frozenset(), path)
            return True
        try:
            template = compile_template(value, self.names)
        except InvalidExpression as error:
            self.wrong(path, f"bad expression: {error.detail}")
            return True
        if exact and not template.exact:
            self.wrong(path, "a text around an expression makes a text; write one ${{ }} alone")
        for expression in template.expressions():
            self._note(expression.steps, path)
        return True

    def expression(self, value: str, path: Path) -> None:
        """Checks what is an expression as a whole, with or without ``${{ }}``."""
        try:
            self._note(compile_condition(value, self.names).steps, path)
        except InvalidExpression as error:
            self.wrong(path, f"bad expression: {error.detail}")

    def _note(self, steps: frozenset[str], path: Path) -> None:
        if steps:
            self.reads.append(Read(self.step, path, steps, self.own))
