"""One attempt at a step, as the code that does its work sees it, and the errors by which it says how it failed.

What runs a kind is a function of an ``Attempt`` and the rendered arguments; its output is JSON:

    @KINDS.runs("http")
    def run(attempt: Attempt, arguments: Mapping[str, Any]) -> Any: ...

Effects elsewhere happen at least once: pass ``attempt.idempotency_key`` on. Effects in our database happen exactly
once when they are left to ``attempt.effect``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from tasks.db.pool import Transaction
from tasks.runtime import Runtime
from tasks.workflows.definition.model import RetryPolicy

Effect = Callable[[Transaction], None]
RETRY_AFTER_MOST_S = 3600.0


class StepError(Exception):
    """An attempt failed, in the words of the one who knows why.

    ``error_type`` is what a retry policy's ``on`` compares (by default the class's name). ``retryable`` False:
    another attempt is not worth it, unless the policy's ``on`` names the type (see ``retries``). ``retry_after_s``:
    the next attempt should not be made before, whatever the policy's delay; at most an hour. The text is cleaned of
    what looks like a secret before it is kept.
    """

    def __init__(
        self,
        detail: str,
        *,
        error_type: str | None = None,
        retryable: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.error_type = error_type or type(self).__name__
        self.retryable = retryable
        self.retry_after_s = None if retry_after_s is None else min(max(0.0, retry_after_s), RETRY_AFTER_MOST_S)


class Refused(StepError):
    """The step can never succeed: no further attempt is made, whatever the retry policy says."""

    def __init__(self, detail: str, *, error_type: str | None = None) -> None:
        super().__init__(detail, error_type=error_type, retryable=False)


class CalledOff(Exception):
    """The attempt was broken off because it is not wanted here any more (``Attempt.is_wanted``). It does not count:
    where its worker stops, another one begins it anew."""


def retries(policy: RetryPolicy, error: StepError, attempt: int) -> bool:
    """Whether attempt ``attempt``, which failed with ``error``, is followed by another.

    A type that ``on`` names is worth it even where the one who raised it thought otherwise: a 404 that one waits for.
    """
    if isinstance(error, Refused):
        return False
    return (error.retryable or bool(policy.on)) and policy.retries(error.error_type, attempt)


@dataclass
class Attempt:
    """One attempt at a step, or at one item of its map (``index``, else None).

    ``number`` counts from 1. ``deadline`` is on ``time.monotonic()``'s clock: after it the attempt is ended from
    outside. ``run_name`` is the definition's name, ``submitted_by`` who asked for the run. ``is_wanted`` turns False
    when the run is called off or this worker stops: what takes long looks there now and then, and raises CalledOff.
    """

    runtime: Runtime
    run_id: UUID
    run_name: str
    key: str
    number: int
    correlation_id: str
    submitted_by: str
    deadline: float
    index: int | None = None
    is_wanted: Callable[[], bool] = lambda: True
    effects: list[Effect] = field(default_factory=list)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this step, or item, of this run, and for nothing else."""
        item = "" if self.index is None else f"/{self.index}"
        return f"{self.run_id}/{self.key}{item}"

    def remaining_s(self) -> float:
        """Seconds to the deadline, at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    def effect(self, effect: Effect) -> None:
        """Has ``effect`` called in the transaction that marks the step succeeded: it happens just if that does.

        It must be short. What it raises fails the attempt, and undoes all of that transaction.
        """
        self.effects.append(effect)
