"""A price, and the book of all prices: which one holds for a model of a provider on a day.

A pattern is a model's name, or ``provider/model``; ``*`` in it stands for any text, and case does not matter. The
closest pattern that has a price on the day holds: ``provider/model`` before ``model``, a name before a pattern with
``*``, and of those the one with more letters. Of one pattern's prices the latest that has begun holds.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

_REMEMBERED = 10_000


@dataclass(frozen=True)
class Price:
    """USD for one token in and one token out, from the day ``valid_from`` (UTC) on."""

    pattern: str
    valid_from: date
    input_usd: float
    output_usd: float

    def cost_usd(self, input_tokens: float, output_tokens: float) -> float:
        """What these tokens cost."""
        return self.input_usd * input_tokens + self.output_usd * output_tokens


class PriceBook:
    """All prices at one time. It does not change; looking up a model again costs next to nothing."""

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        self._named: dict[str, list[Price]] = {}
        globs: dict[str, list[Price]] = {}
        for price in sorted(prices, key=lambda price: price.valid_from):
            pattern = price.pattern.lower()
            (globs if "*" in pattern else self._named).setdefault(pattern, []).append(price)
        closest = sorted(globs, key=lambda pattern: (-len(pattern.replace("*", "")), pattern))
        self._globs = [(_compiled(pattern), globs[pattern]) for pattern in closest]
        self._days = sorted({price.valid_from for kept in (*self._named.values(), *globs.values()) for price in kept})
        self._found: dict[tuple[str, str], list[list[Price]]] = {}

    def price_of(self, model: str, provider: str | None, at: date | datetime) -> Price | None:
        """The price that holds at ``at`` (a day in UTC, or an aware time); None: unpriced."""
        day = at.astimezone(UTC).date() if isinstance(at, datetime) else at
        for prices in self._matching(model, provider or ""):
            begun = bisect_right(prices, day, key=lambda price: price.valid_from)
            if begun:
                return prices[begun - 1]
        return None

    def changes(self, since: datetime, until: datetime) -> list[datetime]:
        """The midnights after ``since`` and before ``until`` at which any price changes, in order."""
        midnights = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in self._days)
        return [midnight for midnight in midnights if since < midnight < until]

    def _matching(self, model: str, provider: str) -> list[list[Price]]:
        """The prices of every pattern that fits, the closest pattern first."""
        found = self._found.get((model, provider))
        if found is None:
            names = [f"{provider}/{model}".lower(), model.lower()] if provider else [model.lower()]
            found = [self._named[name] for name in names if name in self._named]
            found += [prices for name in names for shape, prices in self._globs if shape.fullmatch(name)]
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[(model, provider)] = found
        return found


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)
