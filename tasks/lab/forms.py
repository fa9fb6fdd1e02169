"""Questions and answers as JSON: as they are posted, kept in rows, and shown. The checks of a question are here,
too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from tasks.errors import FieldError, ValidationFailed
from tasks.lab import scoring
from tasks.lab.asking import AskAnswer, AskRequest, Attempt, ScorerSpec
from tasks.lab.model import FALLBACKS, TIERS
from tasks.workflows.definition.actions import EXPECT
from tasks.workflows.definition.context import Context
from tasks.workflows.definition.kinds import Kinds
from tasks.workflows.definition.mistakes import TOP, Report, pointer
from tasks.workflows.definition.model import Expectation

MAX_TIMEOUT_S = 3600.0
_FIELDS = {field.name for field in fields(AskRequest)}


def check(request: AskRequest, timeout_s: float) -> None:
    """Refuses a request that can't be asked.

    Raises:
        ValidationFailed: with every mistake.
    """
    errors = []
    if not request.prompt.strip():
        errors.append(FieldError("/prompt", "must not be blank"))
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        errors.append(FieldError("/timeout_s", f"must be above 0 and at most {MAX_TIMEOUT_S:g}"))
    if request.tier is not None and request.tier not in TIERS:
        errors.append(FieldError.not_one_of("/tier", TIERS))
    if request.fallback is not None and request.fallback not in FALLBACKS:
        errors.append(FieldError.not_one_of("/fallback", FALLBACKS))
    if errors:
        raise ValidationFailed("The question can't be asked.", errors=errors)
    scoring.check(request.scorers)


def request_of(values: Mapping[str, Any]) -> AskRequest:
    """The question that a JSON object describes: the fields of ``AskRequest``, others are left alone.

    Raises:
        ValidationFailed: ``expect`` is not as a workflow's step may have it.
    """
    made = {name: value for name, value in values.items() if name in _FIELDS and value is not None}
    if "expect" in made:
        made["expect"] = _expectation(made["expect"])
    made["scorers"] = tuple(ScorerSpec(**spec) for spec in made.get("scorers", ()))
    return AskRequest(**made)


def row_of(request: AskRequest) -> dict[str, Any]:
    """The question as JSON; ``request_of`` of it is the question again."""
    row = {name: value for name, value in asdict(request).items() if value is not None and value is not False}
    row = {name: value for name, value in row.items() if value != () and value != {}}
    if request.expect is not None:
        row["expect"] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(request.expect).items()
            if value is not None and value != ()
        }
    if request.scorers:
        row["scorers"] = [asdict(spec) for spec in request.scorers]
    return row


def shown(answer: AskAnswer) -> dict[str, Any]:
    """The answer as JSON, with its attempts."""
    body = asdict(answer)
    body["scores"] = dict(answer.scores)
    body["attempts"] = [attempt_row(one) for one in answer.attempts]
    return body


def attempt_row(attempt: Attempt) -> dict[str, Any]:
    """An attempt as JSON."""
    return {
        **asdict(attempt),
        "execution_id": str(attempt.execution_id),
        "started_at": attempt.started_at.isoformat(),
        "completed_at": attempt.completed_at.isoformat(),
    }


def attempt_of(row: Mapping[str, Any]) -> Attempt:
    """The attempt that ``attempt_row`` wrote."""
    times = {name: datetime.fromisoformat(row[name]) for name in ("started_at", "completed_at")}
    return Attempt(**{**row, **times, "execution_id": UUID(row["execution_id"])})


def _expectation(given: Any) -> Expectation:
    report = Report()
    made = EXPECT.check(given, TOP, Context(report, Kinds(), rendered=True))
    if report.found:
        errors = [FieldError("/expect" + pointer(keys), detail) for keys, detail in report.found]
        raise ValidationFailed("The expectation is not valid; see errors.", errors=errors)
    values: dict[str, Any] = {n: tuple(value) if type(value) is list else value for n, value in made.items()}
    return Expectation(**values)
