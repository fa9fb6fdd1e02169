"""Loads bodies, query strings and headers through marshmallow schemas; every mistake gets a JSON Pointer.

Bodies come from ``webapp.body``; a parameter that the schema does not know is refused like an unknown field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from flask import Request
from marshmallow import RAISE, Schema, ValidationError, fields
from webargs.flaskparser import FlaskParser

from tasks.errors import FieldError, ValidationFailed
from webapp import body
from webapp.services import services


class StrictParser(FlaskParser):
    """The parser of every ``blueprint.arguments``."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {  # noqa: RUF012  # as webargs declares it
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": RAISE,
    }

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        """The query string, in which only what may have many values stands more than once."""
        lists = {field.data_key or name for name, field in schema.fields.items() if isinstance(field, fields.List)}
        repeated = [name for name, values in req.args.lists() if len(values) > 1 and name not in lists]
        if repeated:
            raise failed({name: ["stands more than once; it has one value"] for name in repeated})
        return super().load_querystring(req, schema)

    def load_json(self, req: Request, schema: Schema) -> Any:
        """The strictly parsed body; none at all is an empty object, where nothing in it is required."""
        if body.is_absent(req) and not any(field.required for field in schema.fields.values()):
            return {}
        return body.read_json(req, services().settings.json_max_depth)

    def handle_error(self, error: ValidationError, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Raises ``ValidationFailed`` for what the schema refused."""
        raise failed(error.messages)


def failed(messages: Any) -> ValidationFailed:
    """The error for marshmallow's ``messages``; webargs' outer level, the location, is left out of pointers."""
    if isinstance(messages, Mapping) and len(messages) == 1:
        location, inner = next(iter(messages.items()))
        if location in ("json", "query", "headers", "path"):
            messages = inner
    errors = list(_flatten(messages, ""))
    count = len(errors)
    return ValidationFailed(
        f"{count} {'value is' if count == 1 else 'values are'} not valid; see errors.", errors=errors
    )


def _flatten(messages: Any, pointer: str) -> list[FieldError]:
    if isinstance(messages, Mapping):
        found: list[FieldError] = []
        for key, inner in messages.items():
            # marshmallow reports what concerns the whole object under "_schema".
            below = pointer if key == "_schema" else f"{pointer}/{body.escape(str(key))}"
            found.extend(_flatten(inner, below))
        return found
    texts = messages if isinstance(messages, list) else [messages]
    return [FieldError(pointer, str(text)) for text in texts]
