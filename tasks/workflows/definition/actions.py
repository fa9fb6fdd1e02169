"""The parts of a step that stand in more than one place: an action, its retry policy, what it expects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tasks.workflows.definition.context import Context
from tasks.workflows.definition.mistakes import Path
from tasks.workflows.definition.model import RetryPolicy
from tasks.workflows.definition.shapes import Field, ListOf, Shape
from tasks.workflows.definition.specs import Anything, JsonSchema, Number, Pattern, Schema, Text, named
from tasks.workflows.definition.suggest import did_you_mean

MAX_TIMEOUT_S = 86_400
TIMEOUT = Number(0.1, MAX_TIMEOUT_S)


class Jitter(Number):
    """A fraction; true is all, false is none."""

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """A number from 0 to 1."""
        return super().check(int(value) if type(value) is bool else value, path, context)

    def schema(self) -> Schema:
        """A number or a boolean."""
        return {"anyOf": [super().schema(), {"type": "boolean"}]}


def _verify_retry(made: dict[str, Any], path: Path, context: Context) -> None:
    least = made.get("backoff_s", RetryPolicy().backoff_s)
    if "max_backoff_s" in made and _numbers(least, made["max_backoff_s"]) and least > made["max_backoff_s"]:
        context.wrong(path / "max_backoff_s", f"less than backoff_s, which is {least}")


RETRY = Shape(
    {
        "max_attempts": Field(Number(1, 100, whole=True), about="Attempts in all, the first one included."),
        "backoff_s": Field(Number(0, 3600), about="The delay after the first attempt."),
        "multiplier": Field(Number(1, 10), about="How the delay grows from attempt to attempt."),
        "max_backoff_s": Field(Number(0, MAX_TIMEOUT_S)),
        "jitter": Field(Jitter(0, 1), about="The fraction of each delay that is random."),
        "on": Field(
            ListOf(Text(1, 100), most=50, unique=True), about="Types of errors worth another attempt; none: any."
        ),
    },
    _verify_retry,
)


def _verify_expect(made: dict[str, Any], path: Path, context: Context) -> None:
    least, most = made.get("min_length"), made.get("max_length")
    if _numbers(least, most) and least > most:  # type: ignore[operator]
        context.wrong(path / "max_length", f"less than min_length, which is {least}")


_WORDS = ListOf(Text(1, 200), most=200, unique=True)
EXPECT = Shape(
    {
        "schema": Field(JsonSchema(), about="A JSON Schema of the output."),
        "required": Field(_WORDS, about="Fields that the output has; a.b for one inside."),
        "pattern": Field(Pattern(), about="A regular expression that the output has somewhere."),
        "min_length": Field(Number(0, 10_000_000, whole=True)),
        "max_length": Field(Number(0, 10_000_000, whole=True)),
        "required_words": Field(_WORDS),
        "forbidden_words": Field(_WORDS),
    },
    _verify_expect,
)

ARGUMENTS = Field(Anything(dict, template=False), about="The arguments of the kind.")
_KIND = Field(Text(1, 100), required=True, about="The kind: what is done.")


def check_arguments(made: dict[str, Any], path: Path, context: Context, *, inside: bool) -> None:
    """Checks ``with`` by the kind, and puts its normal form in its place."""
    kind, arguments = made.get("kind"), made.get("with", {})
    if type(kind) is not str or type(arguments) is not dict:
        return
    if kind not in context.kinds:
        known = sorted(context.kinds)
        hint = did_you_mean(kind, known) or f"; known are {', '.join(known)}"
        context.wrong(path / "kind", f"unknown kind {kind[:100]!r}{hint}")
    elif inside and not context.kinds[kind].inside:
        context.wrong(path / "kind", f"a step of the kind '{kind}' can't stand here, since it may wait or choose")
    else:
        made["with"] = context.kinds[kind].arguments.check(arguments, path / "with", context)


@dataclass(frozen=True)
class ActionSpec:
    """An action inside a step: a map's inner step, a compensation. ``names``: what its expressions may read; ``own``:
    whether that includes the result of the step that it stands in."""

    names: frozenset[str]
    own: bool = False

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """An action of a kind that may stand inside."""
        if type(value) is not dict:
            context.wrong(path, f"an object with a kind is needed, not {named(value)}")
            return value
        return _INSIDE.check(value, path, replace(context, names=self.names, own=self.own))

    def schema(self) -> Schema:
        """Its fields; the arguments are checked by the kind."""
        return _INSIDE.schema()


def _verify_inside(made: dict[str, Any], path: Path, context: Context) -> None:
    check_arguments(made, path, context, inside=True)


_INSIDE = Shape(
    {
        "kind": _KIND,
        "with": ARGUMENTS,
        "retry": Field(RETRY),
        "timeout_s": Field(TIMEOUT),
        "expect": Field(EXPECT),
    },
    _verify_inside,
)


def _numbers(*values: Any) -> bool:
    return all(type(value) in (int, float) for value in values)
