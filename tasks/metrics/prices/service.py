"""Prices as callers use them: list, set, remove, import, and the book by which costs are computed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from tasks.db.pool import Database
from tasks.errors import FieldError, NotFound, ValidationFailed
from tasks.metrics.prices import files, store
from tasks.metrics.prices.model import Price, PriceBook

_BOOK_KEPT_S = 10.0
_LONGEST_PATTERN = 200


class PriceService:
    """The price table. ``book`` is remembered for 10 s, so another process's change takes that long at most."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._book = PriceBook()
        self._read_at = -math.inf
        self._lock = threading.Lock()

    def list(self, pattern: str | None = None) -> list[dict[str, Any]]:
        """The prices, by pattern and day; with ``pattern`` those whose pattern holds that text."""
        with self._db.transaction() as tx:
            rows = store.rows(tx)
        wanted = (pattern or "").lower()
        numbers = ("input_usd", "output_usd")
        return [
            {name: float(value) if name in numbers else value for name, value in row.items()}
            for row in rows
            if wanted in row["pattern"].lower()
        ]

    def set(self, pattern: str, input_usd: float, output_usd: float, valid_from: date | None = None) -> bool:
        """Sets USD for a token from a day (UTC; today by default) on; False where that price held already.

        Raises:
            ValidationFailed: no pattern, too long a one, or a price that is no number from 0 on.
        """
        errors = []
        if not pattern.strip() or len(pattern) > _LONGEST_PATTERN or "\x00" in pattern:
            errors.append(FieldError("/pattern", f"must have 1 to {_LONGEST_PATTERN} characters, and no NUL"))
        for name, value in (("input_usd", input_usd), ("output_usd", output_usd)):
            if not (math.isfinite(value) and value >= 0.0):
                errors.append(FieldError(f"/{name}", "must be a number from 0 on"))
        if errors:
            raise ValidationFailed("The price is not valid; see errors.", errors=errors)
        return bool(self._put([Price(pattern.strip(), valid_from or _today(), input_usd, output_usd)], "manual"))

    def remove(self, pattern: str, valid_from: date) -> None:
        """Takes a price out, so that the one before it holds. Raises NotFound."""
        with self._db.transaction() as tx:
            removed = store.remove(tx, pattern, valid_from)
        if not removed:
            raise NotFound(f"There is no price of {pattern} from {valid_from.isoformat()} on.")
        self._forget()

    def import_file(self, raw: bytes, valid_from: date | None = None) -> dict[str, Any]:
        """Takes over a public price file (``files.read``), to hold from a day (UTC; today by default) on.

        Returns how many prices are ``new`` or changed, how many were ``known`` already, how many entries were
        ``skipped`` since they are not priced by the token, and the models with a ``wrong`` price, which are left as
        they were. Raises MalformedInput.
        """
        found = files.read(raw)
        day = valid_from or _today()
        prices = [Price(name, day, given, taken) for name, (given, taken) in found.prices.items()]
        new = self._put(prices, "litellm")
        return {"new": new, "known": len(prices) - new, "skipped": found.skipped, "wrong": list(found.wrong)}

    def book(self) -> PriceBook:
        """The prices as they are, or were up to 10 s ago."""
        if time.monotonic() - self._read_at > _BOOK_KEPT_S:
            with self._lock:
                if time.monotonic() - self._read_at > _BOOK_KEPT_S:
                    self._book, self._read_at = self._read(), time.monotonic()
        return self._book

    def price_of(self, model: str, provider: str | None, at: datetime) -> Price | None:
        """The price of a model at a time; None: unpriced."""
        return self.book().price_of(model, provider, at)

    def _read(self) -> PriceBook:
        with self._db.transaction() as tx:
            rows = store.rows(tx)
        return PriceBook(
            Price(row["pattern"], row["valid_from"], float(row["input_usd"]), float(row["output_usd"]))
            for row in rows
        )

    def _put(self, prices: Sequence[Price], source: str) -> int:
        with self._db.transaction() as tx:
            changed = store.put(tx, prices, source)
        self._forget()
        return changed

    def _forget(self) -> None:
        self._read_at = -math.inf


def _today() -> date:
    return datetime.now(UTC).date()
