"""What asks for a run, and what is answered: the same for HTTP, schedules, triggers and Kafka commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from tasks.db.pool import Transaction


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A run to be: of an inline ``definition``, or of the stored one called ``name`` (the newest ``version``, where
    none is given). ``priority`` None is the definition's own."""

    definition: Any = None
    name: str | None = None
    version: str | None = None
    input: Any = field(default_factory=dict)
    priority: int | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    correlation_id: str | None = None
    submitted_by: str


@dataclass(frozen=True)
class Submitted:
    """A run that is, or will be with the caller's transaction. ``duplicate``: its idempotency key was known."""

    run_id: UUID
    state: str
    duplicate: bool
    name: str
    version: str | None


class Submits(Protocol):
    """What begins runs."""

    def submit(self, submission: Submission, tx: Transaction | None = None) -> Submitted:
        """Makes the run, in the caller's transaction where one is given; then ``hint`` is the caller's, after it.

        Raises:
            NotFound: there is no such definition.
            ValidationFailed: the definition, or the input by its schema, is not valid.
            IdempotencyMismatch: the idempotency key is known, with another body.
        """

    def hint(self, run_ids: Sequence[UUID]) -> None:
        """Tells workers of runs that were committed. Never raises; what it loses the sweeper makes good."""
