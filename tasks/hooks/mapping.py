"""Maps a hook to its event family and event type (CONTRACT.md, section 2): a pure function.

The event type is the name of the topic that tells of the handled hook.
"""

from __future__ import annotations

from typing import NamedTuple

LIFECYCLE = "service_lifecycle"
TOOL = "tool_execution"
PERFORMANCE = "performance"
CONFIGURATION = "configuration"
GENERIC = "hook"

_LIFECYCLE_ACTIONS = {
    "startup": "service-startup",
    "shutdown": "service-shutdown",
    "health_check": "service-health-check",
    "registration": "service-registration",
    "deregistration": "service-deregistration",
    "ready": "service-ready",
    "error": "service-error",
}
_TOOL_ACTIONS = {
    "execute": "tool-call",
    "call": "tool-call",
    "tool_call": "tool-call",
    "invoke": "tool-call",
    "response": "tool-response",
    "tool_response": "tool-response",
    "error": "tool-error",
    "tool_error": "tool-error",
    "timeout": "tool-timeout",
    "tool_timeout": "tool-timeout",
}


class Mapped(NamedTuple):
    """The family of a hook, and the type of the event that its handling tells."""

    family: str
    event_type: str


def classify(resource: str, action: str) -> Mapped:
    """The family and type of a hook with this resource and action; case and ``-`` or ``_`` do not matter.

    ``error`` stands in both families: it is a tool's where the resource names a tool, else a service's.
    """
    kind = resource.strip().lower().replace("-", "_")
    verb = action.strip().lower().replace("-", "_")
    about_tool = "tool" in kind
    if verb in _LIFECYCLE_ACTIONS and not (about_tool and verb in _TOOL_ACTIONS):
        return Mapped(LIFECYCLE, _LIFECYCLE_ACTIONS[verb])
    if about_tool or verb in _TOOL_ACTIONS:
        return Mapped(TOOL, _TOOL_ACTIONS.get(verb, "tool-call"))
    if kind in ("metrics", "performance"):
        return Mapped(PERFORMANCE, "performance")
    if kind == "configuration":
        return Mapped(CONFIGURATION, "configuration-changed")
    return Mapped(GENERIC, f"{kind}.{verb}")
