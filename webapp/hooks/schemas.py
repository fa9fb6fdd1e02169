"""The shapes of hooks on the wire: what may be posted, and what is shown of an accepted one."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, fields, post_load, validate

from tasks.hooks.model import STATES, NewHook
from tasks.hooks.replaying import MOST as MOST_REPLAYED
from tasks.paging import MAX_LIMIT
from webapp.validation import Whole

TEXT_LIMIT = 200
MAX_BATCH = 1000
# No control characters, and not blank at either end: names that look alike must be alike.
NAME = r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]{0,198}[^\x00-\x20\x7f])?$"
WORD = r"^[A-Za-z0-9]([A-Za-z0-9._+-]{0,63})$"
KEY = r"^[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?$"
CORRELATION = r"^[A-Za-z0-9._:/-]{1,128}$"


def _name(description: str, example: str) -> fields.String:
    return fields.String(
        required=True,
        validate=[
            validate.Length(1, TEXT_LIMIT),
            Whole(NAME, error="must be printable, without space at either end"),
        ],
        metadata={"description": description, "example": example},
    )


def _state(description: str) -> fields.String:
    return fields.String(
        load_default=None,
        allow_none=True,
        validate=[validate.Length(1, TEXT_LIMIT), Whole(r"^[^\x00]*$", error="must not hold NUL")],
        metadata={"description": description},
    )


class HookSchema(Schema):
    """A native event, as it is posted. Loads into a ``NewHook``."""

    class Meta:
        """Refuses what it does not know."""

        unknown = RAISE

    source = _name("The service or tool that posts the event.", "billing-api")
    action = _name("What happened.", "startup")
    resource = _name("What kind of thing it happened to.", "service")
    resource_id = _name("Which one.", "billing-api-7f9c")
    version = fields.String(
        load_default="1.0.0",
        validate=Whole(WORD, error="must be a version such as 1.0.0"),
        metadata={"description": "The version of the sender's event."},
    )
    environment = fields.String(
        load_default="development",
        validate=Whole(WORD, error="must be a word such as production"),
        metadata={"description": "The sender's environment."},
    )
    correlation_id = fields.String(
        load_default=None,
        allow_none=True,
        validate=Whole(CORRELATION, error="must be 1 to 128 of A-Z a-z 0-9 . _ : / -"),
        metadata={"description": "Ties this event to others; by default that of the request."},
    )
    data = fields.Dict(
        keys=fields.String(),
        load_default=dict,
        metadata={
            "description": "Anything else that the sender adds. Text can't hold the NUL character (PostgreSQL), "
            "integers are at most 64 bits wide.",
            "example": {"port": 8080},
        },
    )
    previous_state = _state("The state of the resource before.")
    current_state = _state("The state of the resource now.")

    @post_load
    def _make(self, data: dict[str, Any], **_kwargs: Any) -> NewHook:
        return NewHook(**data)


class IdempotencySchema(Schema):
    """The header that makes a repeat safe (draft-ietf-httpapi-idempotency-key-header)."""

    idempotency_key = fields.String(
        data_key="Idempotency-Key",
        load_default=None,
        validate=Whole(KEY, error="must be 1 to 255 printable characters"),
        metadata={
            "description": "Names this delivery within its source. A repeat with the same body gets the first "
            "answer again, with another body 422. A quoted string, as the IETF draft has it, or bare text, "
            'such as `"8e03978e-40d5-43dd-bc93-6894a57f9324"`.',
        },
    )


class LinksSchema(Schema):
    """Where to go on."""

    self_ = fields.String(data_key="self", attribute="self", required=True)
    replay = fields.String(required=True)


class FieldErrorSchema(Schema):
    """One mistake in an input."""

    pointer = fields.String(required=True, metadata={"description": "JSON Pointer (RFC 6901) to the value."})
    detail = fields.String(required=True)
    line = fields.Integer(metadata={"description": "Of a text that was sent, counted from 1."})
    column = fields.Integer()


class AcceptedSchema(Schema):
    """The answer to an accepted hook: it is durable now."""

    success = fields.Boolean(required=True)
    message = fields.String(required=True)
    event_id = fields.UUID(required=True)
    duplicate = fields.Boolean(required=True, metadata={"description": "This delivery was accepted before."})
    processing_time_ms = fields.Float(required=True)
    errors = fields.List(fields.Nested(FieldErrorSchema), required=True)
    links = fields.Nested(LinksSchema, required=True)


class BatchSchema(Schema):
    """Many events in one request; a bare array of events is read too."""

    class Meta:
        """Refuses what it does not know."""

        unknown = RAISE

    events = fields.List(fields.Nested(HookSchema), required=True, validate=validate.Length(1, MAX_BATCH))


class BatchSuccessSchema(Schema):
    """An item that was accepted."""

    index = fields.Integer(required=True)
    id = fields.UUID(required=True)
    status = fields.Integer(required=True, metadata={"example": 202})
    duplicate = fields.Boolean(required=True)


class BatchErrorSchema(Schema):
    """An item that was refused; the others are not touched by it."""

    index = fields.Integer(required=True)
    status = fields.Integer(required=True, metadata={"example": 422})
    code = fields.String(required=True)
    detail = fields.String(required=True)
    errors = fields.List(fields.Nested(FieldErrorSchema), required=True)


class BatchResultSchema(Schema):
    """What became of each item, by its place in the batch."""

    successes = fields.List(fields.Nested(BatchSuccessSchema), required=True)
    errors = fields.List(fields.Nested(BatchErrorSchema), required=True)


class HookQuerySchema(Schema):
    """Which hooks to list."""

    source = fields.String(validate=Whole(NAME, error="must be printable"))
    type = fields.String(
        validate=Whole(NAME.replace("198", "498"), error="must be printable"),
        metadata={"description": "The event type, such as `service-startup`."},
    )
    state = fields.String(validate=validate.OneOf(STATES))
    since = fields.AwareDateTime(format="iso", metadata={"description": "Received at or after (RFC 3339)."})
    until = fields.AwareDateTime(format="iso", metadata={"description": "Received before (RFC 3339)."})
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MAX_LIMIT))
    cursor = fields.String(
        validate=validate.Length(1, 500), metadata={"description": "From the `next` link of a page; opaque."}
    )


class HookSummarySchema(Schema):
    """A hook in a list."""

    id = fields.UUID(required=True)
    source = fields.String(required=True)
    family = fields.String(required=True)
    event_type = fields.String(required=True)
    action = fields.String(required=True)
    resource = fields.String(required=True)
    resource_id = fields.String(required=True)
    environment = fields.String(required=True)
    correlation_id = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    attempt = fields.Integer(required=True)
    error_code = fields.String(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    received_at = fields.DateTime(required=True, format="iso")
    finished_at = fields.DateTime(required=True, format="iso", allow_none=True)


class AttemptSchema(Schema):
    """One try at handling a hook."""

    attempt = fields.Integer(required=True)
    started_at = fields.DateTime(required=True, format="iso")
    finished_at = fields.DateTime(required=True, format="iso", allow_none=True)
    outcome = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "`handled`, `retrying`, `dead` or `lease_expired`; null while it runs."},
    )
    error_code = fields.String(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)


class JournalEntrySchema(Schema):
    """A row of the journal: one thing that happened."""

    id = fields.Integer(required=True)
    event_id = fields.UUID(required=True)
    event_type = fields.String(required=True)
    version = fields.Integer(required=True)
    payload = fields.Dict(required=True)
    correlation_id = fields.String(required=True, allow_none=True)
    causation_id = fields.String(required=True, allow_none=True)
    recorded_at = fields.DateTime(required=True, format="iso")


class HookDetailSchema(HookSummarySchema):
    """One hook with its body, its attempts and its journal."""

    delivery_id = fields.String(required=True, allow_none=True)
    schema_version = fields.String(required=True)
    body = fields.Dict(required=True)
    version = fields.Integer(required=True, metadata={"description": "Counts the hook's changes of state."})
    next_attempt_at = fields.DateTime(required=True, format="iso")
    lease_until = fields.DateTime(required=True, format="iso", allow_none=True)
    attempts = fields.List(fields.Nested(AttemptSchema), required=True)
    journal = fields.List(fields.Nested(JournalEntrySchema), required=True)


class HookPageSchema(Schema):
    """A page of hooks, newest first."""

    items = fields.List(fields.Nested(HookSummarySchema), required=True)
    next = fields.String(required=True, allow_none=True, metadata={"description": "The next page; null on the last."})


REPLAY_BY = ("ids", "state", "source", "type", "since", "until")


class ReplayManySchema(Schema):
    """Which hooks to replay: ids, or a filter; all that is given must fit."""

    class Meta:
        """Refuses what it does not know."""

        unknown = RAISE

    ids = fields.List(fields.UUID(), load_default=list, validate=validate.Length(1, MAX_LIMIT))
    state = fields.String(
        validate=validate.OneOf(("dead", "handled")),
        metadata={"description": "Without ids and without this, only dead hooks are meant."},
    )
    source = fields.String(validate=Whole(NAME, error="must be printable"))
    type = fields.String(validate=Whole(NAME.replace("198", "498"), error="must be printable"))
    since = fields.AwareDateTime(format="iso", metadata={"description": "Received at or after (RFC 3339)."})
    until = fields.AwareDateTime(format="iso", metadata={"description": "Received before (RFC 3339)."})
    limit = fields.Integer(strict=True, load_default=1000, validate=validate.Range(1, MOST_REPLAYED))


class ReplayedItemSchema(Schema):
    """One of many hooks that go through their handlers again."""

    id = fields.UUID(required=True)
    previous_state = fields.String(required=True, validate=validate.OneOf(STATES))


class ReplayedManySchema(Schema):
    """The hooks that go through their handlers again, oldest first."""

    replayed = fields.Integer(required=True)
    more = fields.Boolean(required=True, metadata={"description": "The limit was reached: there may be more."})
    items = fields.List(fields.Nested(ReplayedItemSchema), required=True)


class ReplayedSchema(Schema):
    """A hook that goes through its handlers again."""

    id = fields.UUID(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    previous_state = fields.String(required=True, validate=validate.OneOf(STATES))
    links = fields.Nested(LinksSchema, required=True)
