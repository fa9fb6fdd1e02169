"""The types of events: what they look like (CONTRACT.md, section 2), and which of them only the bridge writes."""

from __future__ import annotations

import re

EVENT_TYPE = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
# Kafka allows names of 249 characters; this leaves room for the rest of the topic's name and for `.dlq`.
LONGEST = 180

_PATTERN = re.compile(EVENT_TYPE)
# Consumers trust these to tell what the bridge saw. Whole families, so that a later one is no user's already.
OWN_BEGINNINGS = (
    "hook-",
    "metric-batch-",
    "model-execution-",
    "model-regression-",
    "node-",
    "service-",
    "session-",
    "task-state-",
    "tool-",
    "workflow-",
)
OWN = frozenset({"configuration-changed", "performance", "registry-request-introspection", "security", "unroutable"})


def is_event_type(text: object) -> bool:
    """Whether ``text`` may be an event type: kebab case, at most 180 characters."""
    return isinstance(text, str) and len(text) <= LONGEST and _PATTERN.fullmatch(text) is not None


def is_own(event_type: str) -> bool:
    """Whether only the bridge writes events of this type."""
    return event_type in OWN or event_type.startswith(OWN_BEGINNINGS)
