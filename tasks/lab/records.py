"""The lab's ports to what it does not do itself: keeping records of attempts, and knowing models by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tasks.lab.asking import AskRequest, Attempt
from tasks.lab.choosing import Knowledge


class Records(Protocol):
    """Keeps every attempt, for good."""

    def keep(self, request: AskRequest, attempts: Sequence[Attempt]) -> None:
        """Records attempts; when it returns they are durable, and repeating it changes nothing.

        Raises:
            DatabaseUnavailable, DatabaseBusy: it is not known whether they are.
        """


class Advice(Protocol):
    """Knows how models did so far."""

    def knowledge(self, request: AskRequest) -> Knowledge:
        """What is known for such a question; empty where nothing is."""

    def cost_usd(self, attempt: Attempt) -> float | None:
        """What an attempt cost by the price table; None where no price is known."""


class NothingKnown:
    """The ``Advice`` of who knows nothing: tiers and health alone decide."""

    def knowledge(self, _request: AskRequest) -> Knowledge:
        """Nothing."""
        return Knowledge()

    def cost_usd(self, _attempt: Attempt) -> float | None:
        """Not known."""
        return None
