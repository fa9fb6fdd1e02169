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

    def knowledge(self, request: AskRequest, models: Sequence[str]) -> Knowledge:
        """What is known of ``models`` for such a question; empty where nothing is.

        Raises:
            DatabaseUnavailable, DatabaseBusy: it can't be looked up now.
        """

    def cost_usd(self, attempt: Attempt) -> float | None:
        """What an attempt cost by the price table; None where no price is known."""
