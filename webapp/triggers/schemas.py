"""The shapes of triggers on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate, validates_schema

from tasks.workflows.target import split
from tasks.workflows.triggers.model import LONGEST_FILTER, MOST_PATTERNS, OUTCOMES, PATTERN, STATES, TriggerSpec
from webapp.validation import Whole
from webapp.workflows.targets import (
    BegunSchema,
    ListQuerySchema,
    ShownTargetSchema,
    TargetSchema,
    add_mistakes,
    name_field,
)


def _patterns(description: str, example: str) -> fields.List[str]:
    return fields.List(
        fields.String(validate=[validate.Length(1, 500), Whole(f"^{PATTERN}$", error="must be printable")]),
        validate=validate.Length(max=MOST_PATTERNS),
        metadata={
            "description": f"{description}; `*` stands for any letters, no pattern for all.",
            "example": [example],
        },
    )


class TriggerChangeSchema(TargetSchema):
    """What is to be different about a trigger."""

    name = name_field("Its name.", "big-invoice")
    families = _patterns("Patterns of event families", "service_lifecycle")
    event_types = _patterns("Patterns of event types", "invoice.*")
    sources = _patterns("Patterns of sources", "shop")
    filter = fields.String(
        allow_none=True,
        validate=validate.Length(1, LONGEST_FILTER),
        metadata={
            "description": "An expression over `hook` that must be true: `id`, `source`, `family`, `event_type`, "
            "`action`, `resource`, `resource_id`, `environment`, `correlation_id`, `version`, `data`, "
            "`previous_state`, `current_state`.",
            "example": "hook.data.total > 100",
        },
    )


class TriggerSchema(TriggerChangeSchema):
    """A trigger to be. At least one of `families`, `event_types` and `sources` is needed."""

    name = name_field("Its name.", "big-invoice", required=True)
    workflow = name_field("The name of a stored definition.", "order", required=True)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _tell_all(self, data: dict[str, Any], original: Any, **_kwargs: Any) -> None:
        if isinstance(original, Mapping):
            target, own = split({"name": "-", "workflow": "-", **data})
            add_mistakes(original, data, TriggerSpec(**own, target=target).mistakes())


class TriggerQuerySchema(ListQuerySchema):
    """Which triggers to list."""

    state = fields.String(validate=validate.OneOf(STATES))


class ShownTriggerSchema(ShownTargetSchema):
    """A trigger."""

    state = fields.String(required=True, validate=validate.OneOf(STATES))
    families = fields.List(fields.String(), required=True)
    event_types = fields.List(fields.String(), required=True)
    sources = fields.List(fields.String(), required=True)
    filter = fields.String(required=True, allow_none=True)


class FiringSchema(BegunSchema):
    """A hook that it matched, or failed on."""

    hook_id = fields.UUID(required=True)
    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))


class TriggerDetailSchema(ShownTriggerSchema):
    """A trigger with what became of the last hooks."""

    recent = fields.List(fields.Nested(FiringSchema), required=True)


class TriggerPageSchema(Schema):
    """A page of triggers, by name."""

    items = fields.List(fields.Nested(ShownTriggerSchema), required=True)
    next = fields.String(required=True, allow_none=True, metadata={"description": "The next page; null on the last."})
