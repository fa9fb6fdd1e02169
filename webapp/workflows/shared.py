"""What the views of workflows share: how large a body may be, how long a request may take, paths, links."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from flask import Flask, request

from tasks.db import deadline
from tasks.errors import NotFound
from tasks.workflows.definition.model import NAME
from webapp.services import of

# A definition of 10,000 steps is a large body, and its run as many rows: seconds, not milliseconds.
_LARGE = frozenset({"definitions.put_definition", "definitions.validate", "workflows.execute"})
_LARGE_WITHIN_S = 20.0
KEY_PARAMETER = {
    "in": "path",
    "name": "key",
    "required": True,
    "description": "A step's key.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}
NAME_PARAMETER = {
    "in": "path",
    "name": "name",
    "required": True,
    "schema": {"type": "string", "pattern": f"^{NAME}$", "maxLength": 100},
}


def install(app: Flask) -> None:
    """Lets what carries a definition be larger than other bodies, and take longer."""
    limit = of(app).settings.batch_body_limit_bytes

    @app.before_request
    def widen() -> None:
        if request.endpoint in _LARGE:
            request.max_content_length = limit
            deadline.begin(_LARGE_WITHIN_S)


def no_nul(text: str, what: str) -> str:
    """``text`` from a path, where PostgreSQL can hold it. Raises NotFound."""
    if "\x00" in text:
        raise NotFound(f"There is no such {what}.")
    return text


def checked_name(name: str, what: str) -> str:
    """A name from a path, where it can be one. Raises NotFound."""
    if not re.fullmatch(NAME, name):
        raise NotFound(f"There is no such {what}.")
    return name


def links(run_id: UUID) -> dict[str, str]:
    """Where to go on with a run."""
    here = f"{request.script_root}/workflows/{run_id}"
    return {"self": here, "status": f"{here}/status", "steps": f"{here}/steps", "chart": f"{here}/chart"}


def definition_links(row: dict[str, Any]) -> dict[str, str]:
    """Where to go on with a stored definition."""
    here = f"{request.script_root}/workflows/definitions/{row['name']}"
    return {"self": f"{here}?version={row['version']}", "versions": f"{here}/versions"}
