"""What a hook is: the values that a caller posts, and the states that its inbox row goes through.

    received ──► processing ──► handled
                  │   ▲  │
                  ▼   │  └────► dead          (attempts used up, or refused for good)
                 retrying                     handled | dead ──replay──► received

A row whose lease ran out (its worker died) is claimed again from ``processing``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

STATES = ("received", "processing", "retrying", "handled", "dead")
END_STATES = frozenset({"handled", "dead"})
TRANSITIONS: Mapping[str, frozenset[str]] = {
    "received": frozenset({"processing"}),
    "processing": frozenset({"processing", "handled", "retrying", "dead"}),
    "retrying": frozenset({"processing"}),
    "handled": frozenset({"received"}),
    "dead": frozenset({"received"}),
}


@dataclass(frozen=True)
class NewHook:
    """A validated hook that is not stored yet. ``delivery_id`` is what makes it idempotent, within its source."""

    source: str
    action: str
    resource: str
    resource_id: str
    version: str = "1.0.0"
    environment: str = "development"
    correlation_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    previous_state: str | None = None
    current_state: str | None = None
    delivery_id: str | None = None

    def body(self) -> dict[str, Any]:
        """What was said, without how it was delivered: the part that is kept and compared."""
        return {
            "source": self.source,
            "action": self.action,
            "resource": self.resource,
            "resource_id": self.resource_id,
            "version": self.version,
            "environment": self.environment,
            "data": dict(self.data),
            "previous_state": self.previous_state,
            "current_state": self.current_state,
        }

    def canonical(self) -> bytes:
        """The body as JSON in one form for equal bodies, whatever their spelling: keys sorted, no space."""
        return orjson.dumps(self.body(), option=orjson.OPT_SORT_KEYS)

    def digest(self) -> bytes:
        """The SHA-256 of the canonical body."""
        return hashlib.sha256(self.canonical()).digest()


@dataclass(frozen=True)
class Accepted:
    """A hook that is durable. ``duplicate``: this delivery was accepted before, and this is the same answer."""

    hook_id: UUID
    duplicate: bool
    correlation_id: str


@dataclass(frozen=True)
class Hook:
    """A claimed inbox row as a handler sees it. ``attempt`` counts from 1."""

    id: UUID
    source: str
    family: str
    event_type: str
    action: str
    resource: str
    resource_id: str
    environment: str
    correlation_id: str
    attempt: int
    version: int
    body: Mapping[str, Any]

    @property
    def data(self) -> Mapping[str, Any]:
        """The sender's own part of the body."""
        data: Mapping[str, Any] = self.body.get("data") or {}
        return data
