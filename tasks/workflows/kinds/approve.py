"""Runs steps of the kind ``approve``: waits for a human's decision. Holds no worker meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.workflows.attempt import Attempt
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.work.outcomes import Waits


@KINDS.runs("approve")
def run(_attempt: Attempt, arguments: Mapping[str, Any]) -> Waits:
    """The step waits for ``approve`` or ``reject``, at most ``timeout_s``."""
    return Waits("decision", delay_s=arguments.get("timeout_s"))
