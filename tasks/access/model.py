"""Scopes, principals, and the form of an API key."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from uuid import UUID

SCOPES = (
    "hooks:write",
    "hooks:read",
    "workflows:write",
    "workflows:read",
    "metrics:write",
    "metrics:read",
    "admin",
)
KEY_PREFIX = "omni_"
SHOWN_PREFIX_LENGTH = 12


@dataclass(frozen=True)
class Principal:
    """Who calls: a verified key or token and what it may do. ``admin`` includes every scope."""

    id: UUID
    name: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether the key has this scope."""
        return scope in self.scopes or "admin" in self.scopes


def new_secret() -> str:
    """A fresh key: ``omni_`` and 256 random bits in URL-safe base64."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def hash_of(secret: str) -> bytes:
    """The SHA-256 under which a key is stored. A plain hash serves: the key itself is 256 random bits."""
    return hashlib.sha256(secret.encode()).digest()
