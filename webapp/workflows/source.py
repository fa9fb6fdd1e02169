"""A definition as a request brings it: as YAML or JSON, checked against what exists where it is to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import request

from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.mistakes import InvalidDefinition, Mistake
from tasks.workflows.definition.model import WorkflowDefinition
from tasks.workflows.definition.parse import parse_definition
from webapp import body
from webapp.services import services

# application/yaml is RFC 9512's; the others are what was used before it.
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "application/vnd.yaml")
MEDIA_TYPES = ("application/json", *YAML_TYPES)


def from_body() -> WorkflowDefinition:
    """The definition that the current request's body says, in YAML or JSON.

    Raises:
        UnsupportedMedia, TooLarge: as ``body.read_json``.
        InvalidDefinition: with every mistake, and its line and column.
    """
    return _parse(body.read_raw(request, MEDIA_TYPES))


def inside(value: Any, pointer: str) -> WorkflowDefinition:
    """The definition that a value inside a JSON body says: an object, or a YAML or JSON text.

    Raises:
        InvalidDefinition: with every mistake, at its place below ``pointer``.
    """
    try:
        return _parse(value)
    except InvalidDefinition as refusal:
        raise InvalidDefinition([replace(one, pointer=pointer + one.pointer) for one in refusal.mistakes]) from None


def mistakes_in_body() -> Sequence[Mistake]:
    """Every mistake of the definition in the current request's body; none: it is valid. Raises as ``from_body``."""
    try:
        from_body()
    except InvalidDefinition as refusal:
        return refusal.mistakes
    return ()


def _parse(source: Any) -> WorkflowDefinition:
    return parse_definition(source, kinds=KINDS, known=services().known())
