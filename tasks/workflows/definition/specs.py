"""What a field of a definition may hold: each spec checks a value, notes what is wrong, and has a JSON Schema.

A spec with ``template=True`` also takes a template; then the value is checked once more when it has been rendered.
``check`` returns the value in its normal form, so that equal definitions have equal hashes. ``shapes.py`` has those
that hold others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from tasks.workflows.definition.context import Context
from tasks.workflows.definition.json_schemas import compile_schema
from tasks.workflows.definition.mistakes import Path
from tasks.workflows.definition.suggest import did_you_mean
from tasks.workflows.expressions.patterns import compile_pattern

Schema = dict[str, Any]
_TEMPLATE: Schema = {"type": "string", "pattern": r"\$\{\{"}


class Spec(Protocol):
    """What a value may be."""

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """The value in its normal form; notes mistakes in the context, and then returns anything."""

    def schema(self) -> Schema:
        """The JSON Schema (2020-12) of it; what a schema can't say is left to ``check``."""


def named(value: Any) -> str:
    """What a value is, in a mistake's words."""
    words = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a number")


def _or_template(schema: Schema, template: bool) -> Schema:
    return {"anyOf": [schema, _TEMPLATE]} if template else schema


class Text:
    """A text of some length. ``pattern`` must match all of it; ``looks`` says how that looks."""

    def __init__(
        self, least: int = 0, most: int = 1000, *, pattern: str | None = None, looks: str = "", template: bool = False
    ) -> None:
        self.least, self.most, self.template = least, most, template
        self._pattern, self._looks = pattern and re.compile(pattern), looks

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """A text within its bounds."""
        if self.template and context.template(value, path, exact=False):
            return value
        if type(value) is not str:
            context.wrong(path, f"a text is needed, not {named(value)}")
        elif not self.template and not context.rendered and "${{" in value:
            context.wrong(path, "no template is rendered here")
        elif not self.least <= len(value) <= self.most:
            bounds = f"{self.least} to {self.most}" if self.least else f"at most {self.most}"
            context.wrong(path, f"a text of {bounds} characters is needed, not of {len(value)}")
        elif self._pattern and not self._pattern.fullmatch(value):
            context.wrong(path, f"{value[:100]!r} is not {self._looks}")
        return value

    def schema(self) -> Schema:
        """Its bounds and pattern."""
        schema: Schema = {"type": "string", "maxLength": self.most}
        if self.least:
            schema["minLength"] = self.least
        if self._pattern:
            schema["pattern"] = f"^({self._pattern.pattern})$"
        return _or_template(schema, self.template)


class Existing:
    """A text that names something; where it is known what exists, it must be one of that."""

    def __init__(self, what: str, choose: Callable[[Context], Any], most: int = 200) -> None:
        self._what, self._choose, self._most = what, choose, most

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """The name of something that exists."""
        Text(1, self._most).check(value, path, context)
        known = self._choose(context)
        if type(value) is str and value and "${{" not in value and known is not None and value not in known:
            context.wrong(path, f"unknown {self._what} {value[:100]!r}{did_you_mean(value, known)}")
        return value

    def schema(self) -> Schema:
        """A text; what exists is not known beforehand."""
        return {"type": "string", "minLength": 1, "maxLength": self._most}


class Number:
    """A number from ``least`` to ``most``, whole if ``whole``."""

    def __init__(self, least: float, most: float, *, whole: bool = False, template: bool = False) -> None:
        self.least, self.most, self.whole, self.template = least, most, whole, template

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """A number within its bounds; a whole one as an int, whether it was written 1 or 1.0."""
        if self.template and context.template(value, path, exact=True):
            return value
        kind = "whole number" if self.whole else "number"
        if type(value) is float and value.is_integer() and abs(value) < 2**53:
            value = int(value)
        if type(value) is not int and (self.whole or type(value) is not float):
            context.wrong(path, f"a {kind} is needed, not {value if type(value) is float else named(value)}")
        elif not self.least <= value <= self.most:
            context.wrong(path, f"a {kind} from {self.least} to {self.most} is needed, not {value}")
        return value

    def schema(self) -> Schema:
        """Its bounds."""
        kind = "integer" if self.whole else "number"
        return _or_template({"type": kind, "minimum": self.least, "maximum": self.most}, self.template)


class Flag:
    """True or false."""

    def __init__(self, *, template: bool = False) -> None:
        self.template = template

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """True or false, and nothing that looks like it."""
        if self.template and context.template(value, path, exact=True):
            return value
        if type(value) is not bool:
            context.wrong(path, f"true or false is needed, not {named(value)}")
        return value

    def schema(self) -> Schema:
        """A boolean."""
        return _or_template({"type": "boolean"}, self.template)


class OneOf:
    """One of some words."""

    def __init__(self, *words: str, template: bool = False) -> None:
        self.words, self.template = words, template

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """One of the words."""
        if self.template and context.template(value, path, exact=False):
            return value
        if value not in self.words or type(value) is not str:
            given = repr(value[:100]) if type(value) is str else named(value)
            hint = did_you_mean(value, self.words) if type(value) is str else ""
            context.wrong(path, f"one of {', '.join(self.words)} is needed, not {given}{hint}")
        return value

    def schema(self) -> Schema:
        """An enumeration."""
        return _or_template({"enum": list(self.words)}, self.template)


class Anything:
    """Any value of JSON, with templates in its texts. ``kinds``: which types it may be at the top, or a template that
    is one expression alone."""

    def __init__(self, *kinds: type, template: bool = True) -> None:
        self._kinds, self.template = kinds, template

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """The value itself; its templates are checked."""
        if self._kinds and type(value) not in self._kinds:
            if self.template and context.template(value, path, exact=True):
                return value
            wanted = " or ".join(named(kind()) for kind in self._kinds)
            context.wrong(path, f"{wanted} is needed, not {named(value)}")
        elif self.template and not context.rendered:
            self._templates(value, path, context)
        return value

    def _templates(self, value: Any, path: Path, context: Context) -> None:
        todo = [(path, value)]
        while todo:
            at, part = todo.pop()
            if type(part) is dict:
                todo += ((at / key, inner) for key, inner in reversed(part.items()))
            elif type(part) is list:
                todo += ((at / index, part[index]) for index in reversed(range(len(part))))
            else:
                context.template(part, at, exact=False)

    def schema(self) -> Schema:
        """The types at the top."""
        types: dict[type, str] = {dict: "object", list: "array", str: "string"}
        if not self._kinds:
            return {}
        return _or_template({"type": [types[kind] for kind in self._kinds]}, self.template)


class Condition:
    """An expression that is evaluated where it stands, not rendered before: ``when``. True and false are ones too."""

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """An expression as a text, with or without ``${{ }}``."""
        if type(value) is bool:
            return "true" if value else "false"
        if type(value) is not str:
            context.wrong(path, f"an expression is needed, not {named(value)}")
        else:
            context.expression(value, path)
        return value

    def schema(self) -> Schema:
        """A text or a boolean."""
        return {"type": ["string", "boolean"]}


class Pattern:
    """A regular expression that takes linear time (``expressions/patterns.py``)."""

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """A pattern that can be compiled."""
        if type(value) is not str:
            context.wrong(path, f"a pattern is needed, not {named(value)}")
            return value
        try:
            compile_pattern(value)
        except ValueError as error:
            context.wrong(path, str(error))
        return value

    def schema(self) -> Schema:
        """A text."""
        return {"type": "string", "maxLength": 1000}


class JsonSchema:
    """A JSON Schema that refers to nothing outside itself."""

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """A schema that can be compiled."""
        if type(value) not in (dict, bool):
            context.wrong(path, f"a JSON Schema is needed, not {named(value)}")
            return value
        try:
            compile_schema(value)
        except ValueError as error:
            context.wrong(path, f"not a usable JSON Schema: {error}")
        return value

    def schema(self) -> Schema:
        """Any object."""
        return {"type": ["object", "boolean"]}
