"""The shapes of stored definitions on the wire, and of what is wrong with one."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from tasks.paging import MAX_LIMIT
from tasks.workflows.definition.model import VERSION
from webapp.hooks.schemas import FieldErrorSchema
from webapp.validation import Whole

TEXT = r"^[^\x00]*$"
_CURSOR = {"description": "From the `next` link of a page; opaque."}


def cursor() -> fields.String:
    """Where a page begins."""
    return fields.String(validate=validate.Length(1, 500), metadata=_CURSOR)


def limit() -> fields.Integer:
    """How many items a page has."""
    return fields.Integer(load_default=100, validate=validate.Range(1, MAX_LIMIT))


def version(description: str) -> fields.String:
    """A definition's version."""
    return fields.String(
        validate=[validate.Length(1, 50), Whole(f"^{VERSION}$", error="must be letters, digits, _ . + and -")],
        metadata={"description": description, "example": "2"},
    )


class VersionQuerySchema(Schema):
    """Which version of a definition."""

    version = version("By default the newest.")


class PutQuerySchema(Schema):
    """Which version a definition is to be."""

    version = version("By default the definition's own; without one there, the next number.")


class DefinitionQuerySchema(Schema):
    """Which definitions to list."""

    search = fields.String(
        validate=[validate.Length(1, 100), Whole(TEXT, error="must not hold NUL")],
        metadata={"description": "A part of the name, in any case."},
    )
    limit = limit()
    cursor = cursor()


class PageQuerySchema(Schema):
    """Which page."""

    limit = limit()
    cursor = cursor()


class DefinitionLinksSchema(Schema):
    """Where to go on with a stored definition."""

    self_ = fields.String(data_key="self", attribute="self", required=True)
    versions = fields.String(required=True)


class DefinitionSummarySchema(Schema):
    """A stored definition in a list."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    version = fields.String(required=True)
    description = fields.String(required=True)
    tags = fields.List(fields.String(), required=True)
    step_count = fields.Integer(required=True)
    created_at = fields.DateTime(required=True, format="iso")
    created_by = fields.String(required=True, allow_none=True)
    links = fields.Nested(DefinitionLinksSchema, required=True)


class PutSchema(DefinitionSummarySchema):
    """A definition that is stored now."""

    created = fields.Boolean(required=True, metadata={"description": "false: this version was there already."})


class DefinitionSchema(DefinitionSummarySchema):
    """A stored definition with its steps."""

    definition = fields.Dict(
        required=True, metadata={"description": "As it could be written; `GET /workflows/schema` describes it."}
    )


class DefinitionPageSchema(Schema):
    """A page of definitions."""

    items = fields.List(fields.Nested(DefinitionSummarySchema), required=True)
    next = fields.String(required=True, allow_none=True, metadata={"description": "The next page; null on the last."})


class ValidationSchema(Schema):
    """Whether a definition is valid, and every mistake where it is not."""

    valid = fields.Boolean(required=True)
    name = fields.String(required=True, allow_none=True)
    step_count = fields.Integer(required=True, allow_none=True)
    errors = fields.List(fields.Nested(FieldErrorSchema), required=True)
