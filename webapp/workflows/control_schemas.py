"""The shapes of what may be done with runs: begin one, steer it, signal it, decide for it."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

from tasks.workflows.definition.model import NAME
from tasks.workflows.states import RUN
from webapp.hooks.schemas import CORRELATION, KEY
from webapp.validation import Whole
from webapp.workflows.definition_schemas import version
from webapp.workflows.schemas import RunLinksSchema

_TAG = r"^[^\x00-\x1f\x7f]+$"


class Strict(Schema):
    """Refuses what it does not know."""

    class Meta:
        """Refuses what it does not know."""

        unknown = RAISE


class IdempotencyKeySchema(Schema):
    """The header that makes a repeat safe (draft-ietf-httpapi-idempotency-key-header)."""

    idempotency_key = fields.String(
        data_key="Idempotency-Key",
        load_default=None,
        validate=Whole(KEY, error="must be 1 to 255 printable characters"),
        metadata={
            "description": "A repeat with the same body gets the first answer again, with another body 422. A quoted "
            "string, as the IETF draft has it, or bare text.",
            "example": '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
        },
    )


class ExecuteWorkflowSchema(Strict):
    """A run to be: of a stored definition by its name, or of one that comes with it."""

    name = fields.String(
        validate=[validate.Length(1, 100), Whole(f"^{NAME}$", error="must be a workflow's name")],
        metadata={"description": "A stored definition. Either this or `definition` is needed."},
    )
    version = version("Of the stored definition; by default the newest.")
    definition = fields.Raw(
        allow_none=True,
        metadata={
            "description": "A definition, as an object or as a YAML or JSON text. Either this or `name` is needed."
        },
    )
    input = fields.Raw(
        load_default=dict, allow_none=True, metadata={"description": "What the steps may read as `input`."}
    )
    priority = fields.Integer(
        strict=True,
        validate=validate.Range(1, 10),
        metadata={"description": "Higher goes first; by default the definition's."},
    )
    tags = fields.List(
        fields.String(validate=[validate.Length(1, 100), Whole(_TAG, error="must be printable")]),
        load_default=list,
        validate=validate.Length(max=10),
        metadata={"description": "Besides the definition's."},
    )
    metadata = fields.Dict(keys=fields.String(), load_default=dict)
    correlation_id = fields.String(
        validate=Whole(CORRELATION, error="must be 1 to 128 of A-Z a-z 0-9 . _ : / -"),
        metadata={"description": "Ties the run to other events; by default that of the request."},
    )

    @validates_schema
    def _one_of_both(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if ("name" in data) == ("definition" in data):
            raise ValidationError({"definition": ["exactly one of 'name' and 'definition' is needed"]})
        if "version" in data and "name" not in data:
            raise ValidationError({"version": ["belongs to 'name'"]})


class ExecutedSchema(Schema):
    """A run that is durable now."""

    workflow_id = fields.UUID(required=True)
    status = fields.String(
        required=True,
        validate=validate.OneOf(RUN.states),
        metadata={"description": "Its state; `pending` while its concurrency key is taken."},
    )
    message = fields.String(required=True)
    duplicate = fields.Boolean(required=True, metadata={"description": "It was submitted before under this key."})
    name = fields.String(required=True)
    version = fields.String(required=True, allow_none=True)
    links = fields.Nested(RunLinksSchema, required=True)


class CancelSchema(Strict):
    """Why a run is called off."""

    reason = fields.String(
        load_default=None,
        allow_none=True,
        validate=[validate.Length(max=500), Whole(r"^[^\x00]*$", error="must not hold NUL")],
    )


class SteeredSchema(Schema):
    """A run that is in another state now."""

    workflow_id = fields.UUID(required=True)
    state = fields.String(required=True, validate=validate.OneOf(RUN.states))
    previous_state = fields.String(required=True, validate=validate.OneOf(RUN.states))
    links = fields.Nested(RunLinksSchema, required=True)


class SignalSchema(Strict):
    """What a signal brings."""

    payload = fields.Raw(
        load_default=None, allow_none=True, metadata={"description": "The output of the step that waits for it."}
    )


class SignalledSchema(Schema):
    """A signal that is durable now; one that no step waits for yet is kept."""

    workflow_id = fields.UUID(required=True)
    signal_id = fields.UUID(required=True)
    name = fields.String(required=True)
    duplicate = fields.Boolean(required=True)


class DecideSchema(Strict):
    """What is said with a decision."""

    comment = fields.String(
        load_default="", validate=[validate.Length(max=2000), Whole(r"^[^\x00]*$", error="must not hold NUL")]
    )


class DecidedSchema(Schema):
    """A step that was decided."""

    workflow_id = fields.UUID(required=True)
    key = fields.String(required=True)
    approved = fields.Boolean(required=True)
    by = fields.String(required=True)
