"""What a journal row says: one thing that happened to one aggregate, at one version of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from tasks.ids import new_id

_SECRET_NAME = re.compile(
    r"(?:^|[_\-. ]|(?<=[a-z]))(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|authorization|credentials?"
    r"|private[_-]?key|access[_-]?key|cookie|ssn|credit[_-]?card)s?$",
    re.IGNORECASE,
)
# What a text must hold for any name in it to be a secret's; most texts don't, and need no look at each name.
_SECRET_WORD = re.compile(
    rb"passw|passphrase|secret|token|api[_-]?key|authorization|credential|private[_-]?key|access[_-]?key|cookie|ssn"
    rb"|credit[_-]?card",
    re.IGNORECASE,
)
# A part of each of these words: to look for them is ten times quicker than the expression, and rules out most texts.
_PARTS = (b"pass", b"secret", b"token", b"key", b"authorization", b"credential", b"cookie", b"ssn", b"card")
REDACTED = "[redacted]"


@dataclass(frozen=True)
class JournalEvent:
    """One row to be: ``version`` counts the aggregate's changes from 1, ``event_type`` is the topic's kebab name.

    ``partition_key``: what keeps it in order on Kafka, where that is not its aggregate.
    """

    aggregate_type: str
    aggregate_id: str
    version: int
    event_type: str
    payload: Mapping[str, Any]
    correlation_id: str | None = None
    causation_id: str | None = None
    event_id: UUID = field(default_factory=new_id)
    partition_key: str | None = None


def may_hold_secrets(text: bytes) -> bool:
    """Whether ``redact`` could change the value of a JSON text as orjson writes it; never wrongly False."""
    lowered = text.lower()
    for part in _PARTS:
        if part in lowered:
            return _SECRET_WORD.search(text) is not None
    return False


def redact(value: Any) -> Any:
    """``value`` with what stands under a secret's name (password, token, api_key, …) replaced, at any depth."""
    if isinstance(value, Mapping):
        return {key: REDACTED if _is_secret(key, inner) else redact(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact(inner) for inner in value]
    return value


def redacted_text(value: Any) -> bytes:
    """``redact(value)`` as JSON, without a look at each name where no text in it could be a secret's name."""
    try:
        text = orjson.dumps(value)
    except TypeError:  # a mapping that is no dict; redacting makes it one
        return orjson.dumps(redact(value))
    return orjson.dumps(redact(value)) if may_hold_secrets(text) else text


def names_secret(name: str) -> bool:
    """Whether what stands under this name is taken for a secret: password, token, api_key, …"""
    return _SECRET_NAME.search(name) is not None


def _is_secret(key: Any, value: Any) -> bool:
    # Counts such as input_tokens are numbers and stay.
    return isinstance(key, str) and not isinstance(value, int | float | None) and names_secret(key)
