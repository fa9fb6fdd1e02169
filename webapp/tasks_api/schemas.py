"""The shapes of mirrored Celery tasks on the wire."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from tasks.paging import MAX_LIMIT
from tasks.states.model import STATES
from webapp.validation import Whole

_TEXT = r"^[^\x00]+$"


class TaskQuerySchema(Schema):
    """Which tasks to list."""

    state = fields.String(validate=validate.OneOf(STATES))
    name = fields.String(
        validate=[validate.Length(1, 255), Whole(_TEXT, error="must not hold NUL")],
        metadata={"description": "The registered name, such as `hooks.handle`."},
    )
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MAX_LIMIT))
    cursor = fields.String(
        validate=validate.Length(1, 500), metadata={"description": "From the `next` link of a page; opaque."}
    )


class TaskSchema(Schema):
    """The latest known state of one Celery task."""

    task_id = fields.String(required=True)
    name = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    attempt = fields.Integer(required=True)
    deliveries = fields.Integer(required=True)
    version = fields.Integer(required=True, metadata={"description": "Counts the task's mirrored changes."})
    queue = fields.String(required=True, allow_none=True)
    worker = fields.String(required=True, allow_none=True)
    correlation_id = fields.String(required=True, allow_none=True)
    parent_id = fields.String(required=True, allow_none=True)
    root_id = fields.String(required=True, allow_none=True)
    error_type = fields.String(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    first_seen_at = fields.DateTime(required=True, format="iso")
    due_at = fields.DateTime(
        required=True,
        format="iso",
        allow_none=True,
        metadata={"description": "When it is to run, where it was sent for later."},
    )
    started_at = fields.DateTime(required=True, format="iso", allow_none=True)
    finished_at = fields.DateTime(required=True, format="iso", allow_none=True)
    updated_at = fields.DateTime(required=True, format="iso")


class TaskDetailSchema(TaskSchema):
    """One task with everything that the journal tells of it."""

    history = fields.List(fields.Nested("JournalEntrySchema"), required=True)


class TaskPageSchema(Schema):
    """A page of tasks, the last seen first."""

    items = fields.List(fields.Nested(TaskSchema), required=True)
    next = fields.String(required=True, allow_none=True, metadata={"description": "The next page; null on the last."})
