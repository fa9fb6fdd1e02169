"""Runs steps of the kind ``wait``: for a time, until a moment, or for a signal. Holds no worker meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tasks.workflows.attempt import Attempt, Refused
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.work.outcomes import Waits


@KINDS.runs("wait")
def run(_attempt: Attempt, arguments: Mapping[str, Any]) -> Waits:
    """What the step waits for. Raises Refused where ``until`` is no time."""
    if "signal" in arguments:
        return Waits("signal", delay_s=arguments.get("timeout_s"), signal_name=arguments["signal"])
    if "seconds" in arguments:
        return Waits("time", delay_s=float(arguments["seconds"]))
    try:
        until = datetime.fromisoformat(arguments["until"])
    except ValueError:
        raise Refused(
            f"{arguments['until'][:100]!r} is no time as RFC 3339 writes it.", error_type="BadTime"
        ) from None
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return Waits("time", delay_s=max(0.0, (aware - datetime.now(UTC)).total_seconds()))
