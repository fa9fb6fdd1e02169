"""OpenTelemetry's names for what an execution has: accepted beside our own.

From the semantic conventions for generative AI (attributes ``gen_ai.*``), errors, servers and deployments, with the
names that earlier versions of them had.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.errors import FieldError, ValidationFailed
from webapp.body import escape

ALIASES: Mapping[str, str] = {
    "gen_ai.request.model": "model",
    "gen_ai.provider.name": "provider",
    "gen_ai.system": "provider",
    "gen_ai.usage.input_tokens": "input_tokens",
    "gen_ai.usage.prompt_tokens": "input_tokens",
    "gen_ai.usage.output_tokens": "output_tokens",
    "gen_ai.usage.completion_tokens": "output_tokens",
    "gen_ai.operation.name": "task_type",
    "gen_ai.response.id": "execution_id",
    "error.type": "error_type",
    "server.address": "endpoint",
    "deployment.environment.name": "environment",
    "deployment.environment": "environment",
}
_PREFIX = "gen_ai."


def with_own_names(item: Mapping[str, Any]) -> dict[str, Any]:
    """``item`` with our names for OpenTelemetry's; other ``gen_ai.*`` attributes go into ``metadata``.

    Of attributes alone follows what they leave unsaid: an execution without ``error.type`` was successful.

    Raises:
        ValidationFailed: the same thing is said twice, under two names.
    """
    own: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    said_by: dict[str, str] = {}
    errors = []
    for name, value in item.items():
        ours = ALIASES.get(name, name)
        if ours == name and name.startswith(_PREFIX):
            extra[name] = value
        elif ours in said_by:
            errors.append(FieldError(f"/{escape(name)}", f"says the same as {said_by[ours]}: give one of them"))
        else:
            said_by[ours] = name
            own[ours] = value
    if errors:
        raise ValidationFailed("The execution says something twice.", errors=errors)
    if any(name.startswith(_PREFIX) for name in item):
        own.setdefault("success", own.get("error_type") is None)
    if extra and isinstance(own.get("metadata", {}), dict):
        own["metadata"] = {**extra, **own.get("metadata", {})}
    return own


def may_hold_aliases(item: Mapping[str, Any]) -> bool:
    """Whether a name in ``item`` is OpenTelemetry's: all of those have a dot, and none of ours has."""
    return any("." in name for name in item)
