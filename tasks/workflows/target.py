"""Which workflow begins when something else happens, and with what: the part that schedules and triggers share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from tasks.db.pool import Transaction
from tasks.errors import FieldError, NotFound
from tasks.workflows import definitions
from tasks.workflows.definition.mistakes import Report, pointer
from tasks.workflows.definition.model import NAME, VERSION
from tasks.workflows.definition.plain import TooMuch, check_plain
from tasks.workflows.expressions.errors import InvalidExpression
from tasks.workflows.expressions.templates import compile_tree
from tasks.workflows.submitting import Submission

INPUT_LIMIT_BYTES = 65_536
MOST_TAGS = 10
_TAG = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_UUID = re.compile(r"[0-9a-fA-F-]{36}")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A workflow's name, and its version (None: the newest at the time). ``input`` is a JSON object whose texts may
    be templates; ``priority`` None is the definition's own."""

    workflow: str
    workflow_version: str | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    priority: int | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The values of its columns."""
        return {
            "workflow": self.workflow,
            "workflow_version": self.workflow_version,
            "input": orjson.dumps(self.input).decode(),
            "priority": self.priority,
            "tags": list(self.tags),
            "metadata": orjson.dumps(self.metadata).decode(),
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Target:
        """The target in a row of a table that has its columns."""
        return cls(
            workflow=row["workflow"],
            workflow_version=row["workflow_version"],
            input=row["input"],
            priority=row["priority"],
            tags=tuple(row["tags"]),
            metadata=row["metadata"],
        )

    def mistakes(self, names: frozenset[str]) -> Iterator[FieldError]:
        """Everything that is wrong with it by itself; ``names``: what its templates may read."""
        if not re.fullmatch(NAME, self.workflow):
            yield FieldError("/workflow", "must be a workflow's name: letters, digits, _ . and -")
        if self.workflow_version is not None and not re.fullmatch(VERSION, self.workflow_version):
            yield FieldError("/workflow_version", "must be a workflow's version")
        if self.priority is not None and not 1 <= self.priority <= 10:
            yield FieldError("/priority", "must be from 1 to 10")
        if len(self.tags) > MOST_TAGS or not all(_TAG.fullmatch(tag) for tag in self.tags):
            yield FieldError("/tags", f"must be at most {MOST_TAGS} texts of 1 to 100 printable characters")
        plain = list(_not_plain("input", self.input)) + list(_not_plain("metadata", self.metadata))
        yield from plain
        if not plain:
            try:
                compile_tree(self.input, names)
            except InvalidExpression as mistake:
                yield FieldError("/input", mistake.detail)

    def unknown(self, tx: Transaction) -> Iterator[FieldError]:
        """Whether there is no such workflow. Names and versions that none can have are mistakes of their own."""
        version = self.workflow_version
        if not re.fullmatch(NAME, self.workflow) or not (version is None or re.fullmatch(VERSION, version)):
            return
        try:
            definitions.get(tx, self.workflow, self.workflow_version)
        except NotFound as absent:
            yield FieldError("/workflow", absent.detail)

    def submission(
        self, values: Mapping[str, Any], names: frozenset[str], *, key: str, by: str, correlation_id: str | None
    ) -> Submission:
        """The run to be, its input rendered with ``values``. Raises EvaluationError."""
        return Submission(
            name=self.workflow,
            version=self.workflow_version,
            input=compile_tree(self.input, names).render(values),
            priority=self.priority,
            tags=self.tags,
            metadata=self.metadata,
            idempotency_key=key,
            correlation_id=correlation_id,
            submitted_by=by,
        )


def split(given: Mapping[str, Any]) -> tuple[Target, dict[str, Any]]:
    """The target in a mapping of fields, and the fields that are not a target's."""
    own = {name: value for name, value in given.items() if name not in FIELDS}
    target = {name: value for name, value in given.items() if name in FIELDS}
    return Target(**{**target, "tags": tuple(target.get("tags", ()))}), own


def name_mistakes(name: str) -> Iterator[FieldError]:
    """What is wrong with the name of a schedule or a trigger: it must not be taken for an id."""
    if not re.fullmatch(NAME, name):
        yield FieldError("/name", "must be 1 to 100 letters, digits, _ . and -")
    elif _UUID.fullmatch(name):
        yield FieldError("/name", "must not look like an id")


FIELDS = frozenset(Target.__dataclass_fields__)


def _not_plain(name: str, value: Any) -> Iterator[FieldError]:
    if not isinstance(value, dict):
        yield FieldError(f"/{name}", "must be a JSON object")
        return
    report = Report()
    with suppress(TooMuch):
        check_plain(value, report)
    found = [FieldError(f"/{name}{pointer(keys)}", detail) for keys, detail in report.found]
    yield from found
    if not found and len(orjson.dumps(value)) > INPUT_LIMIT_BYTES:
        yield FieldError(f"/{name}", f"must take at most {INPUT_LIMIT_BYTES} bytes")
