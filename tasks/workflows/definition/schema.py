"""The JSON Schema of a definition, for editors and documentation, made from what checks it."""

from __future__ import annotations

from typing import Any

from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.form import DEFINITION
from tasks.workflows.definition.kinds import Kinds

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def definition_schema(kinds: Kinds = KINDS) -> dict[str, Any]:
    """The schema, with the arguments of each kind. Every valid definition fits it; what a schema can't say (the
    graph, expressions, names that must exist) only ``parse_definition`` finds."""
    schema = DEFINITION.schema()
    step = schema["properties"]["steps"]["items"]
    step["properties"]["kind"] = {"enum": sorted(kinds)}
    step["allOf"] = [_arguments_of(name, kinds) for name in sorted(kinds)]
    return {"$schema": DIALECT, "title": "OmniNode Bridge workflow", **schema}


def _arguments_of(name: str, kinds: Kinds) -> dict[str, Any]:
    arguments = kinds[name].arguments.schema() | {"description": kinds[name].about}
    then: dict[str, Any] = {"properties": {"with": arguments}}
    if "required" in arguments:
        then["required"] = ["with"]
    return {"if": {"properties": {"kind": {"const": name}}}, "then": then}
