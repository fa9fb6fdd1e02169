"""Runs steps of the kind ``task``: calls a registered Python function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.workflows import functions
from tasks.workflows.attempt import Attempt, Refused
from tasks.workflows.definition.builtin import KINDS


@KINDS.runs("task")
def run(attempt: Attempt, arguments: Mapping[str, Any]) -> Any:
    """The output is what the function returns. Raises Refused where no function of this name is registered here."""
    name = arguments["task"]
    try:
        function = functions.function(name)
    except KeyError:
        raise Refused(f"No step task {name!r} is registered in this worker.", error_type="UnknownTask") from None
    return function.run(attempt, arguments.get("args", {}))
