"""The specs that hold others: lists, mappings from names, and objects with known fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.workflows.definition.context import Context
from tasks.workflows.definition.mistakes import Path
from tasks.workflows.definition.specs import Schema, Spec, named
from tasks.workflows.definition.suggest import did_you_mean

Verify = Callable[[dict[str, Any], Path, Context], None]


class ListOf:
    """A list of values of one spec. ``unique``: none twice."""

    def __init__(
        self, inner: Spec, least: int = 0, most: int = 1000, *, unique: bool = False, template: bool = False
    ):
        self._inner, self._least, self._most = inner, least, most
        self._unique, self.template = unique, template

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """A list of a size within its bounds, each item checked."""
        if self.template and context.template(value, path, exact=True):
            return value
        if type(value) is not list:
            context.wrong(path, f"a list is needed, not {named(value)}")
            return value
        if not self._least <= len(value) <= self._most:
            context.wrong(path, f"a list of {self._least} to {self._most} items is needed, not of {len(value)}")
            if len(value) > self._most:
                return value
        seen: set[str] = set()
        for index, item in enumerate(value if self._unique else ()):
            if type(item) is str and item in seen:
                context.wrong(path / index, f"{item[:100]!r} stands here twice")
            seen.add(item if type(item) is str else f"{index}\0")
        return [self._inner.check(item, path / index, context) for index, item in enumerate(value)]

    def schema(self) -> Schema:
        """Its bounds and its items."""
        schema: Schema = {"type": "array", "items": self._inner.schema(), "maxItems": self._most}
        if self._least:
            schema["minItems"] = self._least
        if self._unique:
            schema["uniqueItems"] = True
        return schema


class MapOf:
    """A mapping from names, all of one pattern, to values of one spec."""

    def __init__(self, inner: Spec, most: int = 1000, *, keys: str = ".{1,200}", looks: str = "a name") -> None:
        self._inner, self._most, self._keys, self._looks = inner, most, re.compile(keys), looks

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """A mapping of a size within its bound, names and values checked."""
        if type(value) is not dict:
            context.wrong(path, f"an object is needed, not {named(value)}")
            return value
        if len(value) > self._most:
            context.wrong(path, f"at most {self._most} fields are allowed, not {len(value)}")
            return value
        for key in value:
            if not self._keys.fullmatch(key):
                context.wrong(path / key, f"{key[:100]!r} is not {self._looks}")
        return {key: self._inner.check(item, path / key, context) for key, item in value.items()}

    def schema(self) -> Schema:
        """Its names and values."""
        return {
            "type": "object",
            "maxProperties": self._most,
            "propertyNames": {"pattern": f"^({self._keys.pattern})$"},
            "additionalProperties": self._inner.schema(),
        }


@dataclass(frozen=True)
class Field:
    """A field of an object. ``deferred``: it is not rendered with the step's other fields, because it is evaluated
    later or elsewhere (conditions, a map's inner step)."""

    spec: Spec
    required: bool = False
    about: str = ""
    deferred: bool = False


class Shape:
    """An object with known fields. ``verify`` checks what concerns several of them, once each is an object's own."""

    def __init__(self, fields: Mapping[str, Field], verify: Verify | None = None) -> None:
        self.fields, self.verify = dict(fields), verify
        self._required = tuple(name for name, one in self.fields.items() if one.required)

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """The object with its fields checked; unknown and missing ones are mistakes, null ones are left out."""
        if type(value) is not dict:
            context.wrong(path, f"an object is needed, not {named(value)}")
            return {}
        made: dict[str, Any] = {}
        for name, item in value.items():
            one = self.fields.get(name)
            if one is None:
                context.wrong(path / name, f"unknown field{self._meant(name, context)}")
            elif item is not None:
                made[name] = one.spec.check(item, path / name, context)
        for name in self._required:
            if name not in made:
                context.wrong(path, f"the field '{name}' is missing")
        if self.verify:
            self.verify(made, path, context)
        return made

    def _meant(self, name: str, context: Context) -> str:
        if context.report.full:
            return ""
        hint = did_you_mean(name, self.fields)
        return hint or f"; known are {', '.join(sorted(self.fields))}" if self.fields else ""

    def schema(self) -> Schema:
        """Its fields."""
        properties = {
            name: one.spec.schema() | ({"description": one.about} if one.about else {})
            for name, one in self.fields.items()
        }
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        if self._required:
            schema["required"] = list(self._required)
        return schema
