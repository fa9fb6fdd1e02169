"""Reads executions: a whole batch by one compiled decoder where it is plain, else item by item, with reasons.

The decoder (msgspec, from the annotations of ``Execution``) passes exactly what ``ExecutionSchema`` passes; that
words the errors, and is what OpenAPI shows. A test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from marshmallow import ValidationError
from msgspec import Struct

from tasks.errors import FieldError, ValidationFailed
from tasks.metrics.model import MAX_BATCH, Execution
from webapp import arguments, body
from webapp.metrics.aliases import may_hold_aliases, with_own_names
from webapp.metrics.schemas import ExecutionSchema

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# Clocks differ; one that is a day ahead is wrong.
AHEAD = timedelta(days=1)

_SCHEMA = ExecutionSchema()
_NUL = b"\\u0000"


class _Batch(Struct, forbid_unknown_fields=True):
    executions: list[Execution]


_DECODER = msgspec.json.Decoder(_Batch)


class Batch(NamedTuple):
    """What was read: valid executions with their places, and what is wrong with the others."""

    valid: list[tuple[int, Execution]]
    refused: list[tuple[int, ValidationFailed]]


def read_batch(raw: bytes, max_depth: int) -> Batch:
    """The executions of a JSON text ``{"executions": […]}``.

    Raises:
        MalformedInput: it is no JSON.
        ValidationFailed: it is no batch of 1 to 10,000 items.
    """
    latest = datetime.now(UTC) + AHEAD
    plain = _plain(raw, latest)
    if plain is not None:
        return Batch(list(enumerate(plain)), [])
    valid: list[tuple[int, Execution]] = []
    refused: list[tuple[int, ValidationFailed]] = []
    for index, item in enumerate(_items(body.parse(raw))):
        try:
            valid.append((index, read_item(item, max_depth, latest)))
        except ValidationFailed as problem:
            refused.append((index, problem))
    return Batch(valid, refused)


def read_item(item: Any, max_depth: int, latest: datetime) -> Execution:
    """One execution, that did not begin after ``latest``; our names or OpenTelemetry's.

    Raises:
        ValidationFailed: with a pointer, relative to the item, to each mistake.
    """
    body.check(item, max_depth)
    if isinstance(item, Mapping) and may_hold_aliases(item):
        item = with_own_names(item)
    try:
        execution = msgspec.convert(item, Execution)
    except msgspec.ValidationError as problem:
        raise _worded(item, problem) from None
    if not EARLIEST <= execution.started_at <= latest:
        rule = f"must not be before {EARLIEST.year} or more than a day ahead"
        raise ValidationFailed("The execution is not of our time.", errors=[FieldError("/started_at", rule)])
    return execution


def _plain(raw: bytes, latest: datetime) -> list[Execution] | None:
    """The executions where all are surely valid; None where only a closer look can tell."""
    if _NUL in raw or body.holds_long_number(raw):
        return None
    try:
        executions = _DECODER.decode(raw).executions
    except (msgspec.DecodeError, RecursionError):
        return None
    if not 1 <= len(executions) <= MAX_BATCH:
        return None
    for execution in executions:
        # A batch with anything nested in it is walked through.
        if not EARLIEST <= execution.started_at <= latest or (
            execution.metadata and any(isinstance(value, dict | list) for value in execution.metadata.values())
        ):
            return None
    return executions


def _items(value: Any) -> list[Any]:
    errors: list[FieldError] = []
    items = value.get("executions") if isinstance(value, dict) else None
    if isinstance(value, dict):
        errors = [FieldError(f"/{body.escape(key)}", "Unknown field.") for key in value if key != "executions"][:10]
    if not isinstance(items, list):
        errors.append(FieldError("/executions", "must be an array of executions"))
    elif not 1 <= len(items) <= MAX_BATCH:
        errors.append(FieldError("/executions", f"must hold 1 to {MAX_BATCH} executions, not {len(items)}"))
    if errors or not isinstance(items, list):
        raise ValidationFailed("The batch is not valid; see errors.", errors=errors)
    return items


def _worded(item: Any, problem: msgspec.ValidationError) -> ValidationFailed:
    try:
        _SCHEMA.load(item)
    except ValidationError as error:
        return arguments.failed(error.messages)
    return ValidationFailed("The execution is not valid.", errors=[FieldError("", str(problem))])
