"""The form of a whole definition: its fields and those of its steps, and how they become frozen values and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from tasks.workflows.definition.actions import (
    ARGUMENTS,
    EXPECT,
    MAX_TIMEOUT_S,
    RETRY,
    TIMEOUT,
    ActionSpec,
    check_arguments,
)
from tasks.workflows.definition.context import Context
from tasks.workflows.definition.mistakes import Path
from tasks.workflows.definition.model import (
    KEY,
    NAME,
    STEPS,
    VERSION,
    Action,
    Cache,
    Concurrency,
    Expectation,
    RetryPolicy,
    StepDefinition,
    WorkflowDefinition,
)
from tasks.workflows.definition.packed import Packed
from tasks.workflows.definition.shapes import Field, ListOf, MapOf, Shape
from tasks.workflows.definition.specs import Anything, Condition, Existing, JsonSchema, Number, OneOf, Schema, Text
from tasks.workflows.expressions import names

_RUN = frozenset({"input", "run"})
# The steps of a definition that has more are kept packed: 1 MB in place of 9.5 for 10,000.
LARGE = 256


class Named:
    """A spec whose expressions may read other names than those around it."""

    def __init__(self, inner: Any, allowed: frozenset[str], *, own: bool = False) -> None:
        self._inner, self._allowed, self._own = inner, allowed, own

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """What the inner spec says."""
        return self._inner.check(value, path, replace(context, names=self._allowed, own=self._own))

    def schema(self) -> Schema:
        """What the inner spec says."""
        schema: Schema = self._inner.schema()
        return schema


class Version(Text):
    """A version: a text, or a whole number, which becomes a text."""

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """A text; 1.10 without quotes is a mistake, since it would become 1.1."""
        if type(value) is float:
            context.wrong(path, "a version is a text or a whole number; write it in quotes")
            return value
        return super().check(str(value) if type(value) is int else value, path, context)

    def schema(self) -> Schema:
        """A text or a whole number."""
        return {"anyOf": [super().schema(), {"type": "integer", "minimum": 0}]}


def _verify_step(made: dict[str, Any], path: Path, context: Context) -> None:
    check_arguments(made, path, context, inside=False)


_OUTPUTS = MapOf(Anything(), 100, keys=KEY, looks="a name")
_CACHE = Shape(
    {
        "key": Field(Text(1, 500, template=True), True, "Steps with the same key share an output."),
        "ttl_s": Field(Number(1, 30 * MAX_TIMEOUT_S), True, "How long an output is kept."),
    }
)
STEP = Shape(
    {
        "key": Field(Text(1, 100, pattern=KEY, looks="a key: letters, digits, _ and -"), required=True),
        "kind": Field(Text(1, 100), required=True),
        "needs": Field(ListOf(Text(1, 100), most=STEPS, unique=True), about="The steps that this one waits for."),
        "with": ARGUMENTS,
        "when": Field(Condition(), about="An expression; false skips the step."),
        "retry": Field(RETRY),
        "timeout_s": Field(TIMEOUT, about="Of an attempt."),
        "queue": Field(Existing("queue", lambda context: context.known.queues, 100)),
        "priority": Field(Number(1, 10, whole=True), about="Higher goes first."),
        "compensate": Field(ActionSpec(names.STEP, own=True), about="What undoes the step."),
        "outputs": Field(Named(_OUTPUTS, names.OUTPUT, own=True), about="Names in the run's output."),
        "expect": Field(EXPECT, about="What the output must be; a miss is a failed attempt."),
        "cache": Field(_CACHE),
    },
    _verify_step,
)


class Steps(ListOf):
    """The steps, each with expressions that are told apart by its number."""

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """A list of steps."""
        if type(value) is not list or not 1 <= len(value) <= STEPS:
            super().check(value if type(value) is not list else value[:1] * len(value), path, context)
            return []
        return [STEP.check(step, path / index, replace(context, step=index)) for index, step in enumerate(value)]


DEFINITION = Shape(
    {
        "name": Field(Text(1, 100, pattern=NAME, looks="a name: letters, digits, _ . and -"), required=True),
        "version": Field(Version(1, 50, pattern=VERSION, looks="a version")),
        "description": Field(Text(0, 10_000)),
        "input_schema": Field(JsonSchema(), about="A JSON Schema of the input."),
        "steps": Field(Steps(STEP, 1, STEPS), required=True),
        "max_parallel": Field(
            Number(1, STEPS, whole=True),
            about="Steps of a run at once that a worker does; those that wait do not count.",
        ),
        "timeout_s": Field(Number(1, MAX_TIMEOUT_S), about="Of a run."),
        "priority": Field(Number(1, 10, whole=True), about="Higher goes first."),
        "tags": Field(ListOf(Text(1, 100), most=10, unique=True)),
        "on_failure": Field(OneOf("fail_fast", "continue", "compensate")),
        "metadata": Field(Anything(dict, template=False)),
        "outputs": Field(_OUTPUTS, about="The run's output, by names."),
        "concurrency": Field(
            Shape(
                {
                    "key": Field(Named(Text(1, 500, template=True), _RUN), True),
                    "limit": Field(
                        Number(1, 10_000, whole=True),
                        about="Runs with the same key at once. One that is compensated after its end counts, but "
                        "waits for no place.",
                    ),
                }
            )
        ),
    }
)


def build(made: Mapping[str, Any], steps: Sequence[StepDefinition] | None = None) -> WorkflowDefinition:
    """The definition of a checked value in normal form; with these ``steps`` where it has none of its own."""
    given: dict[str, Any] = {name: tuple(value) if name == "tags" else value for name, value in made.items()}
    if steps is None:
        own = map(_step, made["steps"])
        steps = tuple(own) if len(made["steps"]) <= LARGE else packed_steps(map(_plain_step, own))
    given["steps"] = steps
    if "concurrency" in made:
        given["concurrency"] = Concurrency(**made["concurrency"])
    return WorkflowDefinition(**given)


def packed_steps(plain: Iterable[Mapping[str, Any]]) -> Sequence[StepDefinition]:
    """Many steps, as ``to_plain`` writes them, kept packed."""
    return Packed.of(plain, _step)


def _step(made: Mapping[str, Any]) -> StepDefinition:
    return StepDefinition(
        key=made["key"],
        action=action(made),
        needs=tuple(made.get("needs", ())),
        when=made.get("when"),
        queue=made.get("queue"),
        priority=made.get("priority"),
        compensate=action(made["compensate"]) if "compensate" in made else None,
        outputs=made.get("outputs", {}),
        cache=Cache(**made["cache"]) if "cache" in made else None,
    )


def action(made: Mapping[str, Any]) -> Action:
    """The action of a checked value in normal form: a step's own, a compensation, or a map's inner step."""
    retry, expect = made.get("retry"), made.get("expect")
    return Action(
        kind=made["kind"],
        arguments=made.get("with", {}),
        retry=None if retry is None else RetryPolicy(**_tuples(retry)),
        timeout_s=made.get("timeout_s"),
        expect=None if expect is None else Expectation(**_tuples(expect)),
    )


def _tuples(made: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if type(value) is list else value for name, value in made.items()}


def to_plain(definition: WorkflowDefinition) -> dict[str, Any]:
    """The definition as JSON's values, as it could be written; ``build`` makes the same definition of it.

    Numbers that have defaults are written out, so that a snapshot means the same when defaults change; what is empty
    is left out.
    """
    steps = definition.steps
    return plain_head(definition) | {
        "steps": list(steps.plain()) if isinstance(steps, Packed) else [_plain_step(step) for step in steps]
    }


def plain_head(definition: WorkflowDefinition) -> dict[str, Any]:
    """As ``to_plain``, without the steps."""
    plain = _given(definition, {"steps", "concurrency"})
    if definition.concurrency:
        plain["concurrency"] = _given(definition.concurrency)
    return plain


def _plain_step(step: StepDefinition) -> dict[str, Any]:
    plain = _given(step, {"action", "compensate", "cache"}) | _plain_action(step.action)
    if step.compensate:
        plain["compensate"] = _plain_action(step.compensate)
    if step.cache:
        plain["cache"] = _given(step.cache)
    return plain


def _plain_action(one: Action) -> dict[str, Any]:
    plain = _given(one, {"arguments", "retry", "expect"})
    if one.arguments:
        plain["with"] = one.arguments
    if one.retry:
        plain["retry"] = _given(one.retry)
    if one.expect:
        plain["expect"] = _given(one.expect)
    return plain


def _given(value: Any, without: set[str] | None = None) -> dict[str, Any]:
    """The fields of a frozen value that say something."""
    plain: dict[str, Any] = {}
    for name in _NAMES[type(value)]:
        if without and name in without:
            continue
        item = getattr(value, name)
        if item is not None and item != () and item != {} and item != "":
            plain[name] = list(item) if type(item) is tuple else item
    return plain


_NAMES = {
    kind: tuple(one.name for one in fields(kind))
    for kind in (WorkflowDefinition, StepDefinition, Action, RetryPolicy, Expectation, Cache, Concurrency)
}
