"""What the lab tells its callers when it has no answer; what went wrong in one attempt is an ``AttemptFailed``."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.errors import BridgeError, FieldError
from tasks.lab.asking import Attempt


class LabUnavailable(BridgeError):
    """No model can be asked: none is configured that fits, or all circuits are open."""

    code = "LAB_1"
    status = 503
    title = "No model available"
    retry_after_s = 5.0


class LabBusy(BridgeError):
    """Every model that fits is at its limit of concurrent calls, and none became free in time."""

    code = "LAB_2"
    status = 503
    title = "Models are busy"
    retry_after_s = 2.0


class _Tried(BridgeError):
    """An error with the attempts that led to it."""

    def __init__(self, detail: str, attempts: Sequence[Attempt] = ()) -> None:
        errors = [
            FieldError(f"/attempts/{number}", f"{one.model} at {one.endpoint}: {one.error_type}: {one.error_message}")
            for number, one in enumerate(attempts)
        ]
        super().__init__(detail, errors=errors)
        self.attempts = tuple(attempts)


class LabFailed(_Tried):
    """Every attempt failed; ``errors`` has one entry for each."""

    code = "LAB_3"
    status = 502
    title = "No model answered"


class LabTimedOut(_Tried):
    """The deadline passed before a model answered."""

    code = "LAB_4"
    status = 504
    title = "Deadline passed"


class AttemptFailed(Exception):
    """One attempt failed. ``error_type`` is one of ``ERROR_TYPES``; the text holds no secrets.

    ``retry_after_s``: how long the server asked to be left alone.
    """

    def __init__(self, error_type: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.retry_after_s = retry_after_s


class Cancelled(Exception):
    """Raised by a listener: nobody waits for the answer any more. The attempt under way is recorded as cancelled."""


# What an attempt can fail of, and whether it tells against the endpoint (its circuit counts it) or not.
ERROR_TYPES: dict[str, bool] = {
    "unreachable": True,
    "connect_timeout": True,
    "first_token_timeout": True,
    "stalled": True,
    "hung_up": True,
    "server_error": True,
    "unauthorized": True,
    "bad_answer": True,
    "model_error": True,
    "rate_limited": False,
    "model_missing": False,
    "refused": False,
    "timed_out": False,
    "too_slow": False,
    "too_large": False,
    "empty_answer": False,
    "invalid_json": False,
    "expectation_missed": False,
    "quality_too_low": False,
    "cancelled": False,
    "abandoned": False,
}


def tells_against_endpoint(error_type: str) -> bool:
    """Whether a failure of this type says that the endpoint is in trouble, and not the question."""
    return ERROR_TYPES.get(error_type, False)
