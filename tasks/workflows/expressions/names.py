"""Which names an expression may read, by where it stands."""

from __future__ import annotations

STEP = frozenset({"input", "run", "steps"})
ITEM = STEP | {"item", "index"}
OUTPUT = STEP | {"output"}

RUN_FIELDS = frozenset(
    {"id", "name", "version", "created_at", "started_at", "priority", "tags", "correlation_id", "metadata"}
)
STEP_FIELDS = frozenset({"output", "state"})
CONSTANTS = {"null": None, "true": True, "false": False}
