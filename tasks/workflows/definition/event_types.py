"""The spec of an event's type: one that a topic can be named by, and none of the bridge's own."""

from __future__ import annotations

from typing import Any

from tasks.journal.types import EVENT_TYPE, OWN_BEGINNINGS, is_own
from tasks.workflows.definition.context import Context
from tasks.workflows.definition.mistakes import Path
from tasks.workflows.definition.specs import Text


class EventType(Text):
    """The type of an event that a user's step emits."""

    def __init__(self) -> None:
        super().__init__(1, 100, pattern=EVENT_TYPE, looks="a type of events: kebab case, such as order-done")

    def check(self, value: Any, path: Path, context: Context) -> Any:
        """A type in kebab case that the bridge has no use for itself."""
        super().check(value, path, context)
        if type(value) is str and is_own(value):
            beginning = next((one for one in OWN_BEGINNINGS if value.startswith(one)), value)
            context.wrong(path, f"{value[:100]!r} is refused: {beginning!r} is for the bridge's own events")
        return value
