"""The one tree of errors that this project raises on purpose, each with a stable code and an HTTP status.

A ``BridgeError`` is safe to show to a caller: its text holds no secrets and no internals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """One mistake in an input: where it is (a JSON Pointer, RFC 6901) and what is wrong."""

    pointer: str
    detail: str

    @classmethod
    def not_one_of(cls, pointer: str, allowed: Iterable[str]) -> FieldError:
        """The value at ``pointer`` is none of those that are allowed."""
        return cls(pointer, f"must be one of {', '.join(allowed)}")


class BridgeError(Exception):
    """The root. Subclasses fix ``code``, ``status`` and ``title``; the detail says what was wrong and where.

    ``retry_after_s`` is set where trying again later can help (RFC 9110, Retry-After).
    """

    code = "INTERNAL_1"
    status = 500
    title = "Internal error"
    retry_after_s: float | None = None

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = tuple(errors)
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s


class SettingsError(BridgeError):
    """The environment does not describe a system that can run; ``errors`` lists every mistake."""

    code = "SETTINGS_1"
    title = "Invalid settings"

    def __str__(self) -> str:
        return "\n".join([self.detail, *(f"  {e.pointer}: {e.detail}" for e in self.errors)])


class MalformedInput(BridgeError):
    """The bytes are not the format they claim to be."""

    code = "INPUT_1"
    status = 400
    title = "Malformed input"


class ValidationFailed(BridgeError):
    """The input is well formed, and says something that is not allowed."""

    code = "INPUT_2"
    status = 422
    title = "Validation failed"


class TooLarge(BridgeError):
    """The input is larger than its limit."""

    code = "INPUT_3"
    status = 413
    title = "Content too large"


class Unauthorized(BridgeError):
    """No valid key was given."""

    code = "ACCESS_1"
    status = 401
    title = "Unauthorized"


class Forbidden(BridgeError):
    """The key is valid and lacks the scope."""

    code = "ACCESS_2"
    status = 403
    title = "Forbidden"


class NotFound(BridgeError):
    """There is no such thing."""

    code = "RESOURCE_1"
    status = 404
    title = "Not found"


class Conflict(BridgeError):
    """The state of the thing does not allow it."""

    code = "RESOURCE_2"
    status = 409
    title = "Conflict"


class IdempotencyMismatch(BridgeError):
    """The idempotency key was used before, with another body."""

    code = "IDEMPOTENCY_1"
    status = 422
    title = "Idempotency key reused with another body"


class DatabaseUnavailable(BridgeError):
    """PostgreSQL can't be reached, or the connection broke: it is not known that anything was done."""

    code = "DATABASE_1"
    status = 503
    title = "Database unavailable"
    retry_after_s = 2.0


class DatabaseBusy(BridgeError):
    """A lock, a connection or a statement took longer than its limit; nothing was done."""

    code = "DATABASE_2"
    status = 503
    title = "Database busy"
    retry_after_s = 1.0


class RowsHeld(DatabaseBusy):
    """Another transaction holds a row that is needed; nothing was done."""


class BrokerUnavailable(BridgeError):
    """Redis can't be reached."""

    code = "BROKER_1"
    status = 503
    title = "Broker unavailable"
    retry_after_s = 2.0


class SinkError(BridgeError):
    """A sink (Kafka) did not take what was sent."""

    code = "SINK_1"
    status = 502
    title = "Sink error"
