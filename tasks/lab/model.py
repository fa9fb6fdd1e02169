"""What an endpoint of the lab is, and what can be asked of it.

An endpoint's ``state`` is what its last health check found. Its circuit is a matter of its own: it follows the calls.

    closed ──failures in a row──► open ──time──► half_open ──success──► closed
                                   ▲                 └──failure──► open (for longer)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

KINDS = ("ollama", "openai")
# From the least to the greatest: an escalation goes to the right.
TIERS = ("tiny", "small", "medium", "large", "xlarge", "huge", "custom", "cloud")
FALLBACKS = ("next_tier", "same_tier", "fastest", "most_reliable", "highest_quality", "lowest_cost")
ENDPOINT_STATES = ("unknown", "healthy", "unhealthy")
CIRCUIT_STATES = ("closed", "open", "half_open")


@dataclass(frozen=True)
class Endpoint:
    """A server with models, as an administrator configured it, and how it does.

    ``models`` are patterns of the names that may be used (none: all that it offers); ``model_tiers`` gives models
    that match a pattern another tier than the endpoint's. ``secret`` is the name of a secret, never the secret.
    """

    id: UUID
    name: str
    kind: str
    url: str
    tier: str
    models: tuple[str, ...] = ()
    model_tiers: Mapping[str, str] = field(default_factory=dict)
    provider: str | None = None
    secret: str | None = None
    max_concurrency: int = 4
    connect_timeout_s: float = 3.0
    first_token_timeout_s: float = 60.0
    enabled: bool = True
    state: str = "unknown"
    circuit: str = "closed"
    failures: int = 0
    circuit_until: datetime | None = None
    paused_until: datetime | None = None
    offered: tuple[str, ...] = ()

    def usable_models(self) -> list[str]:
        """The models that it offered when last asked and that may be used; names without a pattern's letters may be
        used before it was ever asked."""
        if not self.models:
            return list(self.offered)
        named = [name for name in self.models if not set("*?[") & set(name)]
        known = self.offered or named
        return [name for name in known if any(fnmatchcase(name, pattern) for pattern in self.models)]

    def tier_of(self, model: str) -> str:
        """The tier of one of its models."""
        for pattern, tier in self.model_tiers.items():
            if fnmatchcase(model, pattern):
                return tier
        return self.tier

    def is_paused(self, now: datetime) -> bool:
        """Whether it asked to be left alone for a while (Retry-After)."""
        return self.paused_until is not None and self.paused_until > now

    def is_open(self, now: datetime) -> bool:
        """Whether its circuit lets nothing through now."""
        return self.circuit != "closed" and self.circuit_until is not None and self.circuit_until > now


@dataclass(frozen=True)
class Candidate:
    """One model at one endpoint: what an attempt is made with."""

    endpoint: Endpoint
    model: str

    @property
    def tier(self) -> str:
        """The model's tier."""
        return self.endpoint.tier_of(self.model)

    @property
    def key(self) -> tuple[UUID, str]:
        """The same for the same model at the same endpoint, however that does."""
        return self.endpoint.id, self.model


@dataclass(frozen=True)
class Offered:
    """A model that a server lists, with what it tells of it."""

    name: str
    details: Mapping[str, Any] = field(default_factory=dict)


def answers_to(model: str, wanted: str) -> bool:
    """Whether a model is the one that is wanted; Ollama's ``name`` means ``name:latest``."""
    return model == wanted or model == f"{wanted}:latest"
