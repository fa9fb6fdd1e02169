"""One transition of a task, as it stands in the stream: who, what, when, and why if it went wrong.

A task's arguments and result are never in it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from tasks.ids import new_id

STREAM = "omninode:task-states"
CORRELATION_HEADER = "bridge_correlation_id"
ERROR_LIMIT = 1000

_URL_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")
_BEARER = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
_NAMED_SECRET = re.compile(
    r"""((?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|credential
    |cookie)s?["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;)}\]]+)""",
    re.IGNORECASE | re.VERBOSE,
)
_KEY_SHAPE = re.compile(r"\b(?:omni_[\w-]{20,}|whsec_[\w+/=-]{8,}|gh[pousr]_\w{20,}|sk-[\w-]{16,}|AKIA[A-Z0-9]{16})")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]|[\ud800-\udfff]")
_REDACTED = "[redacted]"


def clean_error(text: str, limit: int = ERROR_LIMIT) -> str:
    """``text`` without control characters and what looks like a secret, at most ``limit`` characters long."""
    text = _CONTROL.sub(" ", text[: 4 * limit])
    text = _URL_PASSWORD.sub(f"{_REDACTED}@", text)
    text = _BEARER.sub(rf"\1 {_REDACTED}", text)
    text = _NAMED_SECRET.sub(rf"\1{_REDACTED}", text)
    text = _KEY_SHAPE.sub(_REDACTED, text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def transition(
    state: str,
    task_id: str,
    name: str | None,
    *,
    attempt: int = 0,
    queue: str | None = None,
    worker: str | None = None,
    correlation_id: str | None = None,
    parent_id: str | None = None,
    root_id: str | None = None,
    eta: str | None = None,
    at: datetime | None = None,
    error_type: str | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    """The entry that says that ``task_id`` came into ``state`` at ``at`` (now by default)."""
    entry: dict[str, Any] = {
        "event_id": str(new_id()),
        "task_id": task_id,
        "name": name,
        "state": state,
        "attempt": attempt,
        "queue": queue,
        "worker": worker,
        "at": (at or datetime.now(UTC)).isoformat(timespec="microseconds"),
        "correlation_id": correlation_id,
        "parent_id": parent_id,
        "root_id": root_id,
        "error_type": error_type,
        "error": None if error is None else clean_error(error),
    }
    if eta is not None:
        entry["eta"] = eta
    return entry
