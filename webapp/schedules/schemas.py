"""The shapes of schedules on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate, validates_schema

from tasks.workflows.schedules.cadence import LONGEST_CRON
from tasks.workflows.schedules.model import (
    CATCH_UPS,
    LONGEST_EVERY_S,
    LONGEST_GRACE_S,
    LONGEST_JITTER_S,
    MOST_CAUGHT_UP,
    OUTCOMES,
    OVERLAPS,
    STATES,
    ScheduleSpec,
)
from tasks.workflows.states import RUN
from tasks.workflows.target import split
from webapp.workflows.targets import (
    BegunSchema,
    ListQuerySchema,
    ShownTargetSchema,
    TargetSchema,
    add_mistakes,
    moment,
    name_field,
)


class ScheduleChangeSchema(TargetSchema):
    """What is to be different about a schedule."""

    name = name_field("Its name.", "nightly")
    cron = fields.String(
        allow_none=True,
        validate=validate.Length(1, LONGEST_CRON),
        metadata={
            "description": "Minute, hour, day of month, month, day of week, as in Debian's cron; or `@hourly`, "
            "`@daily`, `@weekly`, `@monthly`, `@yearly`. Either this or `every_s`.",
            "example": "30 2 * * mon-fri",
        },
    )
    every_s = fields.Integer(
        strict=True,
        allow_none=True,
        validate=validate.Range(1, LONGEST_EVERY_S),
        metadata={"description": "Seconds from tick to tick, counted from `starts_at`, else from its making."},
    )
    timezone = fields.String(
        validate=validate.Length(1, 64),
        metadata={"description": "The IANA time zone of `cron`; UTC by default.", "example": "Europe/Berlin"},
    )
    starts_at = fields.AwareDateTime(format="iso", allow_none=True, metadata={"description": "No tick is before it."})
    ends_at = fields.AwareDateTime(format="iso", allow_none=True, metadata={"description": "No tick is after it."})
    jitter_s = fields.Integer(
        strict=True,
        validate=validate.Range(0, LONGEST_JITTER_S),
        metadata={"description": "Each run begins later by a random part of it."},
    )
    catch_up = fields.String(
        validate=validate.OneOf(CATCH_UPS),
        metadata={
            "description": "What happens to missed ticks: `skip` them (the last one runs if it is less than "
            "`grace_s` late), `one` run for all, or `all` of them, the last `catch_up_limit` at most."
        },
    )
    catch_up_limit = fields.Integer(strict=True, validate=validate.Range(1, MOST_CAUGHT_UP))
    grace_s = fields.Integer(strict=True, validate=validate.Range(0, LONGEST_GRACE_S))
    overlap = fields.String(
        validate=validate.OneOf(OVERLAPS),
        metadata={"description": "`skip` skips a tick while the previous run is still open."},
    )


class ScheduleSchema(ScheduleChangeSchema):
    """A schedule to be."""

    name = name_field("Its name.", "nightly", required=True)
    workflow = name_field("The name of a stored definition.", "order", required=True)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _tell_all(self, data: dict[str, Any], original: Any, **_kwargs: Any) -> None:
        if isinstance(original, Mapping):
            target, own = split({"name": "-", "workflow": "-", **data})
            add_mistakes(original, data, ScheduleSpec(**own, target=target).mistakes())


class ScheduleQuerySchema(ListQuerySchema):
    """Which schedules to list."""

    state = fields.String(validate=validate.OneOf(STATES))


class ShownScheduleSchema(ShownTargetSchema):
    """A schedule."""

    state = fields.String(required=True, validate=validate.OneOf(STATES))
    cron = fields.String(required=True, allow_none=True)
    every_s = fields.Integer(required=True, allow_none=True)
    timezone = fields.String(required=True)
    starts_at = moment("No tick is before it.")
    ends_at = moment("No tick is after it.")
    jitter_s = fields.Integer(required=True)
    catch_up = fields.String(required=True, validate=validate.OneOf(CATCH_UPS))
    catch_up_limit = fields.Integer(required=True)
    grace_s = fields.Integer(required=True)
    overlap = fields.String(required=True, validate=validate.OneOf(OVERLAPS))
    next_tick = moment("The tick to come; null unless it is active.")
    last_tick = moment("The last tick that was due.")
    last_run_id = fields.UUID(required=True, allow_none=True)


class UpcomingSchema(Schema):
    """A tick to come."""

    tick = fields.DateTime(required=True, format="iso")
    local = fields.String(required=True, metadata={"description": "The same as its time zone's clock shows it."})


class TickSchema(BegunSchema):
    """A tick that has come."""

    tick = fields.DateTime(required=True, format="iso")
    manual = fields.Boolean(required=True, metadata={"description": "Somebody began it, not the clock."})
    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))


class ScheduleDetailSchema(ShownScheduleSchema):
    """A schedule with its ticks."""

    upcoming = fields.List(fields.Nested(UpcomingSchema), required=True)
    recent = fields.List(fields.Nested(TickSchema), required=True)


class SchedulePageSchema(Schema):
    """A page of schedules, by name."""

    items = fields.List(fields.Nested(ShownScheduleSchema), required=True)
    next = fields.String(required=True, allow_none=True, metadata={"description": "The next page; null on the last."})


class StartedSchema(Schema):
    """The run that was begun by hand."""

    workflow_id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(RUN.states))
    duplicate = fields.Boolean(required=True)
    name = fields.String(required=True)
    version = fields.String(required=True, allow_none=True)
    links = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
