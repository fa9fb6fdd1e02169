"""Which names an expression may read, by where it stands."""

from __future__ import annotations

STEP = frozenset({"input", "run", "steps"})
ITEM = STEP | {"item", "index"}
OUTPUT = STEP | {"output"}
# Of what begins a run: the tick of a schedule, the webhook of a trigger.
SCHEDULE = frozenset({"schedule"})
HOOK = frozenset({"hook"})

RUN_FIELDS = frozenset(
    {"id", "name", "version", "created_at", "started_at", "priority", "tags", "correlation_id", "metadata"}
)
STEP_FIELDS = frozenset({"output", "state"})
CONSTANTS = {"null": None, "true": True, "false": False}
