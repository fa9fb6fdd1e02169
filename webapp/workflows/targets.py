"""What the views of schedules and of triggers share: fields, names in paths, audit rows, the answer to a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from flask import request
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from tasks.errors import FieldError
from tasks.workflows.definition.model import NAME
from tasks.workflows.states import RUN
from tasks.workflows.target import MOST_TAGS
from webapp.auth import current_principal, origin
from webapp.services import services
from webapp.validation import Whole
from webapp.workflows.definition_schemas import cursor, limit, version

_TAG = r"^[^\x00-\x1f\x7f]+$"
WHICH_PARAMETER = {
    "in": "path",
    "name": "which",
    "required": True,
    "description": "Its id, or its name.",
    "schema": {"type": "string", "pattern": f"^{NAME}$", "maxLength": 100},
}


def name_field(description: str, example: str, *, required: bool = False) -> fields.String:
    """A field for the name of something."""
    return fields.String(
        required=required,
        validate=[validate.Length(1, 100), Whole(f"^{NAME}$", error="must be letters, digits, _ . and -")],
        metadata={"description": description, "example": example},
    )


def moment(description: str) -> fields.DateTime:
    """A time that may not be there, in an answer."""
    return fields.DateTime(required=True, format="iso", allow_none=True, metadata={"description": description})


class TargetSchema(Schema):
    """The workflow to begin, and with what; all that is left out stays as it is, or takes its default."""

    class Meta:
        """Refuses what it does not know."""

        unknown = RAISE

    workflow = name_field("The name of a stored definition.", "order")
    workflow_version = version("By default the newest at the time.")
    workflow_version.allow_none = True
    input = fields.Dict(
        keys=fields.String(),
        metadata={"description": "The run's input. Its texts may be templates, such as `${{ schedule.tick }}`."},
    )
    priority = fields.Integer(
        strict=True,
        allow_none=True,
        validate=validate.Range(1, 10),
        metadata={"description": "By default the definition's."},
    )
    tags = fields.List(
        fields.String(validate=[validate.Length(1, 100), Whole(_TAG, error="must be printable")]),
        validate=validate.Length(max=MOST_TAGS),
    )
    metadata = fields.Dict(keys=fields.String())


def add_mistakes(given: Mapping[str, Any], good: Mapping[str, Any], mistakes: Iterable[FieldError]) -> None:
    """Adds to what a schema refused in ``given`` the mistakes of its ``good`` fields, so that all are told at once;
    where it refused nothing the service tells them, with what only the database knows. Raises marshmallow's
    ValidationError."""
    if given.keys() <= good.keys():
        return
    told: dict[str, Any] = {}
    for one in mistakes:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in one.pointer.split("/")[1:]]
        if (way or [last])[0] in good:
            at = told
            for part in way:
                at = at.setdefault(part, {})
            at.setdefault(last, []).append(one.detail)
    if told:
        raise ValidationError(told)


class ListQuerySchema(Schema):
    """Which of them to list."""

    workflow = name_field("The name of a workflow.", "order")
    limit = limit()
    cursor = cursor()


class ShownTargetSchema(Schema):
    """Which workflow begins, and with what."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    version = fields.Integer(required=True, metadata={"description": "Counts its changes."})
    workflow = fields.String(required=True)
    workflow_version = fields.String(required=True, allow_none=True)
    input = fields.Dict(required=True)
    priority = fields.Integer(required=True, allow_none=True)
    tags = fields.List(fields.String(), required=True)
    metadata = fields.Dict(required=True)
    created_at = fields.DateTime(required=True, format="iso")
    created_by = fields.String(required=True)
    updated_at = fields.DateTime(required=True, format="iso")
    links = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class BegunSchema(Schema):
    """What became of one time that something was to begin."""

    run_id = fields.UUID(required=True, allow_none=True)
    run_state = fields.String(required=True, allow_none=True, validate=validate.OneOf(RUN.states))
    run_finished_at = moment("When the run ended.")
    detail = fields.String(required=True, allow_none=True, metadata={"description": "Why there is no run."})
    recorded_at = fields.DateTime(required=True, format="iso")


def which_of(text: str) -> UUID | str:
    """What a path names: an id where it looks like one, else a name; a text that PostgreSQL can't hold names none."""
    try:
        return UUID(text) if len(text) == 36 else text.replace("\x00", "?")
    except ValueError:
        return text.replace("\x00", "?")


def by() -> str:
    """Who changes something, for the journal."""
    return current_principal().name


def changed(act: Callable[..., dict[str, Any]], *arguments: Any, code: str, path: str) -> dict[str, Any]:
    """What ``act`` makes of one of them, recorded in the audit log under ``code``; with its links below ``path``."""
    row = act(*arguments, by())
    audit(code, f"{row['id']} {row['name']}")
    return with_links(row, path)


def audit(code: str, detail: str) -> None:
    """Records in the audit log what the caller has done."""
    services().access.admin_act(code, origin(), actor=by(), detail=detail)


def with_links(row: dict[str, Any], path: str) -> dict[str, Any]:
    """``row``, and where to go on with it."""
    here = f"{request.script_root}{path}/{row['id']}"
    return {
        **row,
        "links": {"self": here, "workflow": f"{request.script_root}/workflows/definitions/{row['workflow']}"},
    }
