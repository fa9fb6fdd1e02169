"""The shapes of runs and steps on the wire."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from tasks.workflows.chart import MOST_NODES, NODES
from tasks.workflows.definition.model import NAME
from tasks.workflows.states import ITEM_STATES, RUN, STEP
from webapp.validation import Whole
from webapp.workflows.definition_schemas import TEXT, cursor, limit

_CUT = (
    "The names of fields whose value is too large to be shown here and is `{$cut, bytes, begins}` instead; "
    "`?whole=true` shows it."
)
_CORRELATION_ID = [validate.Length(1, 255), Whole(TEXT, error="must not hold NUL")]
_TAG = [validate.Length(1, 100), Whole(TEXT, error="must not hold NUL")]


def _time(description: str | None = None) -> fields.DateTime:
    metadata = {"description": description} if description else {}
    return fields.DateTime(required=True, format="iso", allow_none=True, metadata=metadata)


def _text(description: str | None = None) -> fields.String:
    return fields.String(required=True, allow_none=True, metadata={"description": description} if description else {})


def _counts(description: str) -> fields.Dict:
    return fields.Dict(
        keys=fields.String(), values=fields.Integer(), required=True, metadata={"description": description}
    )


def _value(description: str) -> fields.Raw:
    return fields.Raw(required=True, allow_none=True, metadata={"description": description})


class WholeQuerySchema(Schema):
    """Whether large values are shown."""

    whole = fields.Boolean(
        load_default=False, truthy={"true"}, falsy={"false"}, metadata={"description": "Show large values whole."}
    )


class StepQuerySchema(Schema):
    """Which steps to list."""

    state = fields.String(validate=validate.OneOf(STEP.states))
    limit = limit()
    cursor = cursor()


class ItemQuerySchema(Schema):
    """Which items to list."""

    state = fields.String(validate=validate.OneOf(ITEM_STATES))
    limit = limit()
    cursor = cursor()


class ActiveQuerySchema(Schema):
    """Which of the runs that have not ended to list."""

    name = fields.String(validate=[validate.Length(1, 100), Whole(f"^{NAME}$", error="must be a workflow's name")])
    search = fields.String(validate=_TAG, metadata={"description": "A part of the name, in any case."})
    tag = fields.String(validate=_TAG)
    limit = limit()
    cursor = cursor()


class RunQuerySchema(ActiveQuerySchema):
    """Which runs to list."""

    state = fields.String(validate=validate.OneOf(RUN.states))
    correlation_id = fields.String(validate=_CORRELATION_ID, metadata={"description": "What they were begun with."})
    parent = fields.UUID(metadata={"description": "The run whose children to list."})
    since = fields.AwareDateTime(format="iso", metadata={"description": "Submitted at or after (RFC 3339)."})
    until = fields.AwareDateTime(format="iso", metadata={"description": "Submitted before (RFC 3339)."})


class ChartQuerySchema(Schema):
    """How a run is drawn."""

    format = fields.String(load_default="mermaid", validate=validate.OneOf(("mermaid", "json")))
    nodes = fields.Integer(
        load_default=NODES,
        validate=validate.Range(1, MOST_NODES),
        metadata={"description": "Where there are more steps than this, some are shown together."},
    )


class RunLinksSchema(Schema):
    """Where to go on with a run."""

    self_ = fields.String(data_key="self", attribute="self", required=True)
    status = fields.String(required=True)
    steps = fields.String(required=True)
    chart = fields.String(required=True)


class RunSummarySchema(Schema):
    """A run in a list."""

    workflow_id = fields.UUID(required=True)
    name = fields.String(required=True)
    version = _text("null: the definition came with the run.")
    state = fields.String(required=True, validate=validate.OneOf(RUN.states))
    priority = fields.Integer(required=True)
    tags = fields.List(fields.String(), required=True)
    error_code = _text()
    error = _text()
    correlation_id = fields.String(required=True)
    submitted_by = fields.String(required=True)
    parent_workflow_id = fields.UUID(required=True, allow_none=True)
    created_at = fields.DateTime(required=True, format="iso")
    started_at = _time()
    finished_at = _time()
    links = fields.Nested(RunLinksSchema, required=True)


class WaitingSchema(Schema):
    """A step that somebody outside moves on."""

    key = fields.String(required=True)
    kind = fields.String(required=True)
    waits_for = fields.String(required=True, metadata={"description": "`signal` or `decision`."})
    signal_name = _text()
    message = _text("What is to be decided.")
    since = _time()


class RunStatusSchema(RunSummarySchema):
    """How far a run has come."""

    deadline_at = fields.DateTime(required=True, format="iso")
    step_count = fields.Integer(required=True)
    states = _counts("How many steps are in each state.")
    compensations = _counts("How many steps that undo others are in each state.")
    waiting = fields.List(fields.Nested(WaitingSchema), required=True)


class StepSchema(Schema):
    """A step of a run."""

    key = fields.String(required=True)
    kind = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STEP.states))
    attempt = fields.Integer(required=True)
    needs = fields.List(fields.String(), required=True)
    queue = fields.String(required=True)
    priority = fields.Integer(required=True)
    started_at = _time()
    finished_at = _time()
    due_at = _time("When it is tried again, or woken.")
    waits_for = _text("`time`, `signal`, `decision`, `run` or `items`.")
    signal_name = _text()
    items_open = fields.Integer(required=True, allow_none=True, metadata={"description": "Of a map."})
    child_workflow_id = fields.UUID(required=True, allow_none=True)
    compensates = _text("The key of the step that it undoes.")
    output = _value("What it gave.")
    cut = fields.List(fields.String(), required=True, metadata={"description": _CUT})
    error_code = _text()
    error = _text()


class StepAttemptSchema(Schema):
    """One try at a step."""

    attempt = fields.Integer(required=True, allow_none=True)
    started_at = fields.DateTime(required=True, format="iso")
    finished_at = _time()
    outcome = _text("The state that it led to, `released`, or `lease_expired`; null while it runs.")
    error_code = _text()
    error = _text()


class FailedItemSchema(Schema):
    """An item of a map that failed."""

    index = fields.Integer(required=True)
    attempt = fields.Integer(required=True)
    error_code = _text()
    error = _text()
    finished_at = _time()


class ItemSchema(Schema):
    """An item of a map."""

    index = fields.Integer(required=True, metadata={"description": "From 0."})
    state = fields.String(required=True, validate=validate.OneOf(ITEM_STATES))
    attempt = fields.Integer(required=True)
    item = _value("What `over` gave for it.")
    output = _value("What its step gave.")
    cut = fields.List(fields.String(), required=True, metadata={"description": _CUT})
    error_code = _text()
    error = _text("Of the last attempt, where that failed.")
    due_at = _time("When it is tried again.")
    finished_at = _time()


class ItemDetailSchema(ItemSchema):
    """An item with its attempts that failed."""

    journal = fields.List(fields.Nested("JournalEntrySchema"), required=True)


class ItemPageSchema(Schema):
    """A page of a map's items, by index."""

    items = fields.List(fields.Nested(ItemSchema), required=True)
    next = _text("The next page; null on the last.")


class ItemsSchema(Schema):
    """How it stands with the items of a map."""

    states = _counts("How many items are in each state.")
    failed = fields.List(fields.Nested(FailedItemSchema), required=True, metadata={"description": "The first 20."})


class StepDetailSchema(StepSchema):
    """One step with its arguments, its attempts and its journal."""

    arguments = _value("What it was given, rendered.")
    items = fields.Nested(ItemsSchema, required=True, allow_none=True)
    attempts = fields.List(fields.Nested(StepAttemptSchema), required=True)
    journal = fields.List(fields.Nested("JournalEntrySchema"), required=True)


class StepPageSchema(Schema):
    """A page of steps, each after those that it needs."""

    items = fields.List(fields.Nested(StepSchema), required=True)
    next = _text("The next page; null on the last.")


class RunDetailSchema(RunStatusSchema):
    """One run with its values, its first steps and its journal."""

    metadata = fields.Dict(required=True)
    input = _value("What it was given.")
    output = _value("What it gave.")
    cut = fields.List(fields.String(), required=True, metadata={"description": _CUT})
    concurrency_key = _text()
    max_parallel = fields.Integer(required=True, allow_none=True)
    steps = fields.List(fields.Nested(StepSchema), required=True)
    next_steps = _text("The next page of steps; null where all are here.")
    journal = fields.List(fields.Nested("JournalEntrySchema"), required=True)


class RunPageSchema(Schema):
    """A page of runs, newest first."""

    items = fields.List(fields.Nested(RunSummarySchema), required=True)
    next = _text("The next page; null on the last.")


class NodeSchema(Schema):
    """Steps that a chart shows as one."""

    id = fields.Integer(required=True)
    key = _text("Of a single step.")
    label = fields.String(required=True)
    shape = fields.String(required=True, validate=validate.OneOf(("step", "line", "fan", "part")))
    kind = _text("Null if it stands for several.")
    count = fields.Integer(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STEP.states))
    states = _counts("How many steps are in each state.")
    attempt = fields.Integer(required=True, allow_none=True)
    waits_for = _text()
    queue = _text("Where a single step waits for a worker.")
    items_open = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Of a map at work: items that have not ended."}
    )
    error = _text()
    started_at = _time()
    finished_at = _time()


class ChartSchema(RunSummarySchema):
    """A run as nodes and edges."""

    deadline_at = fields.DateTime(required=True, format="iso")
    step_count = fields.Integer(required=True)
    states = _counts("How many steps are in each state.")
    folded = fields.Boolean(required=True, metadata={"description": "Some nodes are several steps."})
    nodes = fields.List(fields.Nested(NodeSchema), required=True)
    edges = fields.List(
        fields.List(fields.Integer()), required=True, metadata={"description": "Pairs of nodes' ids: from, to."}
    )
