"""What a trigger is: which webhooks it matches, and what it begins.

active ◄──resume──► paused (pause)          any state ──remove──► (gone)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from tasks.errors import FieldError
from tasks.hooks.model import Hook
from tasks.workflows.expressions import names
from tasks.workflows.expressions.errors import InvalidExpression
from tasks.workflows.expressions.expression import Expression
from tasks.workflows.expressions.templates import compile_condition
from tasks.workflows.target import Target, name_mistakes

STATES = ("active", "paused")
OUTCOMES = ("started", "failed")
MOST_PATTERNS = 50
PATTERN = r"[^\x00-\x1f\x7f]{1,500}"
LONGEST_FILTER = 4000
_PATTERN = re.compile(PATTERN)


@dataclass(frozen=True, kw_only=True)
class TriggerSpec:
    """What its owner says of a trigger. A hook matches when it matches one pattern of each list that is not empty
    (``*`` stands for any letters) and the ``filter``, an expression over ``hook``, is true."""

    name: str
    target: Target
    families: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    filter: str | None = None

    def row(self) -> dict[str, Any]:
        """The values of its columns."""
        own: dict[str, Any] = {name: list(getattr(self, name)) for name in _LISTS}
        return {"name": self.name, **own, "filter": self.filter, **self.target.row()}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> TriggerSpec:
        """The specification in a row of ``triggers``."""
        lists = {name: tuple(row[name]) for name in _LISTS}
        return cls(name=row["name"], filter=row["filter"], target=Target.of_row(row), **lists)

    def mistakes(self) -> Iterator[FieldError]:
        """Everything that is wrong with it by itself."""
        yield from name_mistakes(self.name)
        for name in _LISTS:
            patterns = getattr(self, name)
            if len(patterns) > MOST_PATTERNS or not all(_PATTERN.fullmatch(text) for text in patterns):
                yield FieldError(
                    f"/{name}", f"must be at most {MOST_PATTERNS} texts of 1 to 500 printable characters"
                )
        if not (self.families or self.event_types or self.sources):
            yield FieldError(
                "/event_types", "say which hooks: give families, event_types or sources (* is every one)"
            )
        if self.filter is not None:
            try:
                compile_condition(self.filter, names.HOOK)
            except InvalidExpression as mistake:
                yield FieldError("/filter", mistake.detail)
        yield from self.target.mistakes(names.HOOK)


_LISTS = ("families", "event_types", "sources")


@dataclass(frozen=True)
class Rule:
    """An active trigger, ready to be asked."""

    id: UUID
    spec: TriggerSpec
    condition: Expression | None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Rule:
        """The rule in a row of ``triggers``. Raises InvalidExpression."""
        spec = TriggerSpec.of_row(row)
        return cls(row["id"], spec, None if spec.filter is None else compile_condition(spec.filter, names.HOOK))

    def may_match(self, hook: Hook) -> bool:
        """Whether the patterns match; the filter is not asked."""
        spec = self.spec
        return (
            _one_of(spec.event_types, hook.event_type)
            and _one_of(spec.families, hook.family)
            and _one_of(spec.sources, hook.source)
        )

    def matches(self, values: Mapping[str, Any]) -> bool:
        """Whether the filter is true. Raises EvaluationError."""
        return self.condition is None or self.condition.condition(values)


def hook_values(hook: Hook) -> dict[str, Any]:
    """What filters and templates may read, as ``hook``."""
    body = hook.body
    return {
        "hook": {
            "id": str(hook.id),
            "source": hook.source,
            "family": hook.family,
            "event_type": hook.event_type,
            "action": hook.action,
            "resource": hook.resource,
            "resource_id": hook.resource_id,
            "environment": hook.environment,
            "correlation_id": hook.correlation_id,
            "version": body.get("version"),
            "data": body.get("data") or {},
            "previous_state": body.get("previous_state"),
            "current_state": body.get("current_state"),
        }
    }


def _one_of(patterns: Sequence[str], text: str) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
