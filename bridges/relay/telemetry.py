"""Counts what the relay does, for the detail of its cursor: health, metrics and ``relay status`` read it there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

_WRITE_EVERY_S = 1.0


class RelayTelemetry:
    """Rows per second, totals and the last error; ``due`` hands them out at most once a second."""

    def __init__(self, detail: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sent_rows = int(detail.get("sent_rows", 0))
        self._dead_letters = int(detail.get("dead_letters", 0))
        self._last_error: dict[str, str] | None = detail.get("last_error")
        self._since = clock()
        self._rows_since = 0

    @property
    def has_news(self) -> bool:
        """Whether rows were sent that no figures tell of yet."""
        return self._rows_since > 0

    def sent(self, rows: int, dead_letters: int) -> None:
        """Counts rows that Kafka has confirmed; ``dead_letters`` of them went to dead-letter topics."""
        self._sent_rows += rows
        self._rows_since += rows
        self._dead_letters += dead_letters

    def failed(self, reason: str) -> None:
        """Keeps the last error."""
        self._last_error = {"at": now_text(), "error": reason[:500]}

    def due(self) -> dict[str, Any]:
        """The figures, if a second has passed since the last time; else nothing."""
        return self.figures() if self._clock() - self._since >= _WRITE_EVERY_S else {}

    def figures(self) -> dict[str, Any]:
        """The figures now; begins a new interval for the rate."""
        now = self._clock()
        elapsed = max(now - self._since, 0.001)
        rate = self._rows_since / elapsed
        self._since, self._rows_since = now, 0
        return {
            "rate_per_s": round(rate, 1),
            "sent_rows": self._sent_rows,
            "dead_letters": self._dead_letters,
            "last_error": self._last_error,
        }


def now_text() -> str:
    """The time now, RFC 3339, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
