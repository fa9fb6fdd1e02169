"""Makes runs: checks what was submitted, writes the run and its steps in one transaction, and begins it if it may."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from tasks import correlation
from tasks.db.pool import Transaction
from tasks.errors import DatabaseBusy, FieldError, IdempotencyMismatch, TooLarge, ValidationFailed
from tasks.ids import new_id
from tasks.nul import holds_nul
from tasks.settings import Settings
from tasks.workflows import definitions
from tasks.workflows.definition.json_schemas import failures
from tasks.workflows.definition.model import WorkflowDefinition
from tasks.workflows.definition.parse import content_hash
from tasks.workflows.expressions.errors import ExpressionError
from tasks.workflows.expressions.templates import compile_template
from tasks.workflows.expressions.values import Value
from tasks.workflows.store import run_with_steps, runs, steps
from tasks.workflows.stored import StoredDefinition

TAGS = 10
# How deep child runs may go.
DEPTH = 20


@dataclass(frozen=True)
class Submission:
    """A wish for a run: of an inline ``definition``, or of a stored one by ``name`` and ``version`` (None: newest).

    ``priority`` None and no ``tags`` are the definition's. A repeat with the same ``idempotency_key`` is the first
    run again; ``idempotency_scope`` says whose key that is. ``submitted_by`` says who asked for it: the name of a
    key, or ``schedule:…``, ``trigger:…``, ``kafka``.
    """

    definition: WorkflowDefinition | None = None
    name: str | None = None
    version: str | None = None
    input: Any = None
    priority: int | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    idempotency_scope: str = ""
    correlation_id: str | None = None
    submitted_by: str = "unknown"


@dataclass(frozen=True)
class Submitted:
    """The run that was made, or that was there (``duplicate``); ``state`` is ``pending`` while its concurrency key
    is taken. ``priority`` from 1 to 10, the most urgent."""

    run_id: UUID
    state: str
    duplicate: bool
    name: str
    version: str | None
    priority: int


@dataclass(frozen=True)
class Parent:
    """The step that starts a child run, and waits for it unless ``place`` is None."""

    run_id: UUID
    place: int | None
    depth: int


def submit(tx: Transaction, submission: Submission, settings: Settings, parent: Parent | None = None) -> Submitted:
    """Writes a run in the caller's transaction. After the commit a hint should be sent; the clock makes it good.

    Raises:
        NotFound: there is no such definition.
        ValidationFailed: the input is not of the definition's ``input_schema``, or something else does not fit.
        TooLarge: the input takes more than ``WORKFLOW_INPUT_LIMIT_BYTES``.
        IdempotencyMismatch: the key was used before for something else.
    """
    stored = _definition(tx, submission)
    row = _row(stored, submission, settings, parent)
    limit = stored.definition.concurrency.limit if stored.definition.concurrency else 0
    begun = runs.may_begin(tx, stored.name, row["concurrency_key"], limit)
    pages = stored.workings.rows(row["priority"])
    if not run_with_steps.submit(tx, row, next(pages, "[]"), begun=begun):
        return _again(tx, submission, row)
    for rows in pages:
        steps.insert(tx, row["id"], rows, begun=begun)
    return _submitted(row, begun=begun)


def submit_at_once(tx: Transaction, submission: Submission, settings: Settings) -> Submitted | None:
    """As ``submit``, by a single statement in autocommit. None where that is not enough: a definition that this
    process does not know or that has many steps, a concurrency key, a repeat. Then nothing was done. Raises as
    ``submit``."""
    stored = _known(tx, submission)
    if stored is None or stored.definition.concurrency is not None or not stored.workings.few:
        return None
    row = _row(stored, submission, settings, None)
    if not run_with_steps.submit(tx, row, next(stored.workings.rows(row["priority"])), begun=True):
        return None
    return _submitted(row, begun=True)


def _row(
    stored: StoredDefinition, submission: Submission, settings: Settings, parent: Parent | None
) -> dict[str, Any]:
    definition = stored.definition
    given = {} if submission.input is None else submission.input
    text = _input_text(given, definition, settings)
    run_id = new_id()
    row: dict[str, Any] = {
        "id": run_id,
        "definition_id": stored.id,
        "name": stored.name,
        "definition_version": stored.version,
        "priority": _priority(submission, definition),
        "tags": list(_tags(submission, definition)),
        "metadata": orjson.dumps({**definition.metadata, **submission.metadata}).decode(),
        "input": text.decode(),
        "correlation_id": submission.correlation_id or correlation.current() or str(run_id),
        "submitted_by": submission.submitted_by[:200],
        "idempotency_scope": submission.idempotency_scope,
        "idempotency_key": submission.idempotency_key,
        "body_digest": _digest(submission, text) if submission.idempotency_key else None,
        "max_parallel": definition.max_parallel,
        "open_leaves": len(stored.places.leaves),
        "parent_run_id": parent.run_id if parent else None,
        "parent_place": parent.place if parent else None,
        "depth": parent.depth if parent else 0,
        "timeout_s": float(definition.timeout_s),
    }
    row["concurrency_key"] = _concurrency_key(definition, given, row)
    return row


def _submitted(row: Mapping[str, Any], *, begun: bool) -> Submitted:
    state = "running" if begun else "pending"
    return Submitted(row["id"], state, False, row["name"], row["definition_version"], row["priority"])


def _known(tx: Transaction, submission: Submission) -> StoredDefinition | None:
    if submission.definition is not None:
        return definitions.known_inline(submission.definition)
    return definitions.known(tx, submission.name, submission.version) if submission.name else None


def _definition(tx: Transaction, submission: Submission) -> StoredDefinition:
    if submission.definition is not None:
        return definitions.inline(tx, submission.definition, created_by=submission.submitted_by[:200])
    if not submission.name:
        raise ValidationFailed(
            "A run needs a definition.", errors=[FieldError("/name", "a name or a definition is needed")]
        )
    return definitions.get(tx, submission.name, submission.version)


def _input_text(given: Any, definition: WorkflowDefinition, settings: Settings) -> bytes:
    try:
        text = orjson.dumps(given)
    except TypeError as problem:
        raise ValidationFailed("Bad input.", errors=[FieldError("/input", str(problem))]) from None
    if len(text) > settings.workflow_input_limit_bytes:
        raise TooLarge(f"The input takes {len(text)} bytes; {settings.workflow_input_limit_bytes} are allowed.")
    if holds_nul(text):
        raise ValidationFailed("Bad input.", errors=[FieldError("/input", "holds a NUL, which can't be kept")])
    if definition.input_schema is not None:
        found = failures(definition.input_schema, given)  # type: ignore[arg-type]
        if found:
            raise ValidationFailed(
                "The input is not of the workflow's input_schema.",
                errors=[FieldError("/input", failure) for failure in found],
            )
    return text


def _priority(submission: Submission, definition: WorkflowDefinition) -> int:
    priority = definition.priority if submission.priority is None else submission.priority
    if not 1 <= priority <= 10:
        raise ValidationFailed("Bad priority.", errors=[FieldError("/priority", "must be from 1 to 10")])
    return priority


def _tags(submission: Submission, definition: WorkflowDefinition) -> tuple[str, ...]:
    tags = tuple(dict.fromkeys((*definition.tags, *submission.tags)))
    if len(tags) > TAGS:
        raise ValidationFailed(
            "Too many tags.", errors=[FieldError("/tags", f"at most {TAGS}, those of the definition included")]
        )
    return tags


def _concurrency_key(definition: WorkflowDefinition, given: Any, row: Mapping[str, Any]) -> str | None:
    if definition.concurrency is None:
        return None
    scope: dict[str, Value] = {
        "id": str(row["id"]),
        "name": row["name"],
        "version": row["definition_version"],
        "priority": row["priority"],
        "tags": row["tags"],
        "correlation_id": row["correlation_id"],
        "metadata": orjson.loads(row["metadata"]),
        "created_at": None,
        "started_at": None,
    }
    try:
        key = compile_template(definition.concurrency.key).render({"input": given, "run": scope, "steps": {}})
    except ExpressionError as problem:
        raise ValidationFailed(
            "The concurrency key can't be made of this input.", errors=[FieldError("/input", problem.detail)]
        ) from None
    return (key if isinstance(key, str) else orjson.dumps(key).decode())[:500]


def _digest(submission: Submission, text: bytes) -> str:
    """What a repeat under the same key must say again. The newest version may be another one by then."""
    asked = content_hash(submission.definition) if submission.definition else [submission.name, submission.version]
    told = [asked, submission.priority, list(submission.tags), dict(submission.metadata)]
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS) + text).hexdigest()


def _again(tx: Transaction, submission: Submission, row: Mapping[str, Any]) -> Submitted:
    known = tx.one(runs.QUERIES["by_idempotency_key"], row)
    if known is None:
        raise DatabaseBusy("The run's definition, or an earlier run of its key, was deleted meanwhile.")
    if known["body_digest"] != row["body_digest"]:
        raise IdempotencyMismatch(
            f"The key {submission.idempotency_key!r} was used before for another run, {known['id']}."
        )
    return Submitted(known["id"], known["state"], True, known["name"], known["definition_version"], known["priority"])
