"""Runs steps of the kind ``workflow``: starts a child run, and waits for it unless it is told not to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.workflows.attempt import Attempt
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.work.outcomes import Child, Waits


@KINDS.runs("workflow")
def run(_attempt: Attempt, arguments: Mapping[str, Any]) -> Waits:
    """The child is made in the transaction in which the step begins to wait, so there is one for each attempt."""
    child = Child(arguments["name"], arguments.get("version"), arguments.get("input", {}))
    return Waits("run" if arguments.get("wait", True) else "nothing", child=child)
