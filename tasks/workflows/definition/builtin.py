"""The kinds of steps that are always there, and what each takes in ``with``.

What they mean stands in the package's docstring. Fields take templates unless that would be unsafe or useless: a name
of something registered is constant, and so is the text of an SQL query, whose values travel as parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.workflows.definition.actions import MAX_TIMEOUT_S, ActionSpec
from tasks.workflows.definition.context import Context
from tasks.workflows.definition.event_types import EventType
from tasks.workflows.definition.kinds import Kind, Kinds
from tasks.workflows.definition.mistakes import Path
from tasks.workflows.definition.model import KEY, NAME, VERSION
from tasks.workflows.definition.shapes import Field, ListOf, MapOf, Shape
from tasks.workflows.definition.specs import Anything, Condition, Existing, Flag, Number, OneOf, Text
from tasks.workflows.expressions import names

_HEADER = "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}"
# What the connection, the limits on the answer and the allow-list decide, and no step.
_NOT_FOR_STEPS = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "te", "trailer", "upgrade",
     "expect", "keep-alive", "proxy-authorization", "proxy-connection"}
)  # fmt: skip
_LONG = 30 * 86_400  # what a step may wait for


def _exactly_one(fields: Sequence[str], made: dict[str, Any], path: Path, context: Context) -> None:
    given = [name for name in fields if name in made]
    if len(given) != 1:
        wanted = ", ".join(f"'{name}'" for name in fields)
        context.wrong(path, f"exactly one of {wanted} is needed, not {len(given)}")


def _verify_http(made: dict[str, Any], path: Path, context: Context) -> None:
    if "body" in made and "json" in made:
        context.wrong(path / "json", "a request has 'body' or 'json', not both")
    headers, secrets = made.get("headers"), made.get("secrets")
    for field, given in (("headers", headers), ("secrets", secrets)):
        for name in given if type(given) is dict else ():
            if name.lower() in _NOT_FOR_STEPS:
                context.wrong(path / field / name, "a step can't set this header")
    if type(headers) is dict and type(secrets) is dict:
        lower = {name.lower() for name in headers}
        for name in secrets:
            if name.lower() in lower:
                context.wrong(path / "secrets" / name, "the header stands in 'headers' too")


def _verify_wait(made: dict[str, Any], path: Path, context: Context) -> None:
    _exactly_one(("seconds", "until", "signal"), made, path, context)
    for name in ("timeout_s", "on_timeout"):
        if name in made and "signal" not in made:
            context.wrong(path / name, f"'{name}' belongs to a wait for a signal")


class _Over(Condition):
    """What a map goes over: an expression that gives a list, or a list."""

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """An expression or a list of values with templates."""
        if type(value) is list:
            return ListOf(Anything(), most=100_000).check(value, path, context)
        return super().check(value, path, context)

    def schema(self) -> dict[str, Any]:
        """A text or a list."""
        return {"type": ["string", "array"]}


class _Targets(ListOf):
    """Keys of steps; one may stand alone."""

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """A list of keys, at least one."""
        return super().check([value] if type(value) is str else value, path, context)

    def schema(self) -> dict[str, Any]:
        """A list or one key."""
        return {"anyOf": [super().schema(), {"type": "string"}]}


_TARGETS = _Targets(Text(1, 100, pattern=KEY, looks="the key of a step"), 1, 1000, unique=True)
_SECRET = Shape(
    {
        "secret": Field(Existing("secret", lambda context: context.known.secrets), required=True),
        "prefix": Field(Text(0, 100), about="What stands before the secret: 'Bearer '."),
    }
)

TASK = Kind(
    "task",
    Shape(
        {
            "task": Field(
                Existing("task", lambda context: context.known.tasks), True, "A registered function's name."
            ),
            "args": Field(Anything(dict), about="Its named arguments."),
        }
    ),
    "Calls a registered Python function.",
)
HTTP = Kind(
    "http",
    Shape(
        {
            "url": Field(Text(1, 4000, template=True), required=True),
            "method": Field(OneOf("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", template=True)),
            "headers": Field(MapOf(Text(0, 8000, template=True), 100, keys=_HEADER, looks="a header's name")),
            "secrets": Field(
                MapOf(_SECRET, 20, keys=_HEADER, looks="a header's name"),
                about="Headers whose values are secrets, by their names in the settings.",
            ),
            "query": Field(MapOf(Anything(), 200), about="Parameters of the query string."),
            "json": Field(Anything(), about="The body, sent as JSON."),
            "body": Field(Text(0, 1_000_000, template=True), about="The body as a text."),
            "timeout_s": Field(Number(0.1, 3600, template=True), about="Of the whole exchange."),
            "connect_timeout_s": Field(Number(0.1, 60, template=True)),
            "max_redirects": Field(Number(0, 10, whole=True)),
            "max_bytes": Field(Number(0, 100_000_000, whole=True), about="Of the answer."),
            "expect_status": Field(
                ListOf(Number(100, 599, whole=True), 1, 100, unique=True), about="Any of 200 to 299 if not given."
            ),
        },
        _verify_http,
    ),
    "Sends an HTTP request; the output is {status, headers, body}, the body parsed where it is JSON.",
)
AI = Kind(
    "ai",
    Shape(
        {
            "prompt": Field(Text(1, 1_000_000, template=True), required=True),
            "system": Field(Text(0, 100_000, template=True)),
            "model": Field(Text(1, 200, template=True), about="A model's name; without it the lab chooses."),
            "tier": Field(
                OneOf("tiny", "small", "medium", "large", "xlarge", "huge", "custom", "cloud", template=True)
            ),
            "task_type": Field(Text(1, 100, template=True)),
            "fallback": Field(
                OneOf("next_tier", "same_tier", "fastest", "most_reliable", "highest_quality", "lowest_cost"),
                about="Which model comes next when one fails.",
            ),
            "temperature": Field(Number(0, 2, template=True)),
            "max_tokens": Field(Number(1, 1_000_000, whole=True, template=True)),
            "json": Field(Flag(), about="The answer is JSON, and the output what it says."),
        }
    ),
    "Asks a model; the output is {text, model, …}, or with json what the answer says.",
    queue="lab",
    slow=True,
)
EMIT = Kind(
    "emit",
    Shape(
        {
            "event": Field(EventType(), True, "The event's type."),
            "data": Field(Anything(dict), about="Its payload."),
            "key": Field(Text(1, 200, template=True), about="What keeps events in order; without it the run's id."),
        }
    ),
    "Writes an event to the journal, and so to Kafka.",
)
MAP = Kind(
    "map",
    Shape(
        {
            "over": Field(_Over(), True, "A list, or an expression that gives one.", deferred=True),
            "step": Field(ActionSpec(names.ITEM), True, "What is done for each item.", deferred=True),
            "max_parallel": Field(Number(1, 1000, whole=True, template=True), about="Chunks at once."),
            "chunk_size": Field(Number(1, 1000, whole=True, template=True), about="Items in a message."),
            "on_item_failure": Field(OneOf("fail", "collect"), about="collect: failed items are null in the output."),
        }
    ),
    "Does one action for each item of a list; the output is the list of the outputs, in the list's order.",
    ends_piece=True,
    inside=False,
    timeout_s=None,
)
BRANCH = Kind(
    "branch",
    Shape(
        {
            "cases": Field(
                ListOf(
                    Shape({"when": Field(Condition(), True), "then": Field(_TARGETS, True)}),
                    least=1,
                    most=100,
                ),
                required=True,
                about="The first case that is true chooses its steps.",
                deferred=True,
            ),
            "otherwise": Field(_TARGETS, about="What is chosen when no case is true.", deferred=True),
        }
    ),
    "Chooses among the steps that need it; the output is the list of the chosen keys.",
    ends_piece=True,
    inside=False,
)
WAIT = Kind(
    "wait",
    Shape(
        {
            "seconds": Field(Number(0, _LONG, template=True)),
            "until": Field(Text(1, 100, template=True), about="A time as RFC 3339 writes it."),
            "signal": Field(Text(1, 100, pattern=NAME, looks="a signal's name"), about="The name of a signal."),
            "timeout_s": Field(Number(0.1, _LONG, template=True), about="How long to wait for the signal."),
            "on_timeout": Field(OneOf("fail", "continue"), about="continue: the output is null."),
        },
        _verify_wait,
    ),
    "Waits for a time, or for a signal, whose payload is the output.",
    ends_piece=True,
    inside=False,
    timeout_s=None,
)
APPROVE = Kind(
    "approve",
    Shape(
        {
            "message": Field(Text(0, 10_000, template=True), about="What is to be decided."),
            "approvers": Field(ListOf(Text(1, 200), most=100, unique=True), about="Names of keys; none: any."),
            "timeout_s": Field(Number(0.1, _LONG, template=True)),
            "on_timeout": Field(OneOf("fail", "reject", "approve")),
        }
    ),
    "Waits for a human's decision; the output is {approved, by, comment}, and a rejection fails the step.",
    ends_piece=True,
    inside=False,
    timeout_s=None,
)
WORKFLOW = Kind(
    "workflow",
    Shape(
        {
            "name": Field(Existing("workflow", lambda context: context.known.workflows), required=True),
            "version": Field(Text(1, 50, pattern=VERSION, looks="a version"), about="Without it the newest."),
            "input": Field(Anything(dict)),
            "wait": Field(Flag(), about="false: the step succeeds as soon as the child is accepted."),
        }
    ),
    "Starts a child run; the output is the child's output.",
    ends_piece=True,
    inside=False,
    timeout_s=None,
)
SQL = Kind(
    "sql",
    Shape(
        {
            "connection": Field(Existing("connection", lambda context: context.known.connections), required=True),
            "query": Field(Text(1, 100_000), True, "One SELECT, with %(name)s for parameters."),
            "params": Field(MapOf(Anything(), 200, keys="[A-Za-z_][A-Za-z0-9_]{0,62}", looks="a parameter's name")),
            "max_rows": Field(Number(1, 100_000, whole=True)),
            "timeout_s": Field(Number(0.1, MAX_TIMEOUT_S)),
        }
    ),
    "Asks a database in a transaction that can only read; the output is {rows, truncated}.",
)

BUILTIN = (TASK, HTTP, AI, EMIT, MAP, BRANCH, WAIT, APPROVE, WORKFLOW, SQL)


def builtin_kinds() -> Kinds:
    """A new registry with these kinds."""
    kinds = Kinds()
    for kind in BUILTIN:
        kinds.add(kind)
    return kinds


KINDS = builtin_kinds()
