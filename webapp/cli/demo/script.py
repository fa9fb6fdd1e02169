"""What the played services say and when: a pure function of a seed.

Each service registers, starts, beats, calls tools, reports, now and then fails, and shuts down in the end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

NAMES = (
    "billing",
    "orders",
    "search",
    "catalog",
    "payments",
    "shipping",
    "auth",
    "profiles",
    "mail",
    "reports",
    "inventory",
    "pricing",
    "reviews",
    "chat",
    "images",
    "video",
    "audit",
    "exports",
    "imports",
    "scheduler",
)
_TOOLS = ("summarize", "translate", "lint", "embed", "render", "classify")
_RETRIES_UNTIL = 0.5


@dataclass(frozen=True)
class Act:
    """One post: when (seconds from the start), under which key, what, and the state that it must end in.

    ``repeat``: it is posted twice under its key; ``clash``: then once more with another body, which must be refused.
    """

    at_s: float
    key: str
    body: dict[str, Any]
    expected: str = "handled"
    repeat: bool = False
    clash: bool = False


def source_of(run: str, place: int) -> str:
    """The source name of the service at ``place`` in this run."""
    name = NAMES[place % len(NAMES)]
    return f"demo-{run}-{name}" + (f"-{place // len(NAMES) + 1}" if place >= len(NAMES) else "")


def acts(run: str, place: int, seconds: float, rate: float, seed: int, max_attempts: int = 5) -> Iterator[Act]:
    """The life of one service: about ``rate`` events a second for ``seconds``, in the order of their times."""
    return _Life(run, place, seconds, rate, seed, max_attempts).acts()


class _Life:
    def __init__(self, run: str, place: int, seconds: float, rate: float, seed: int, max_attempts: int) -> None:
        self._random = random.Random(f"{seed}-{place}")  # noqa: S311 - a play, not a secret
        self._source = source_of(run, place)
        self._instance = f"{self._source}-{self._random.randrange(16**4):04x}"
        self._seconds = seconds
        self._rate = rate
        self._max_attempts = max_attempts
        self._count = 0
        self._now = 0.0

    def acts(self) -> Iterator[Act]:
        yield self._act("registration", "service", {"version": "2.4.1"})
        yield self._act("startup", "service", {"port": self._random.randrange(8000, 9000)}, current="starting")
        yield self._act("ready", "service", {}, current="ready")
        kinds = (self._beat, self._tool, self._report, self._configure, self._trade, self._trouble)
        while self._now < self._seconds:
            [kind] = self._random.choices(kinds, (40, 25, 15, 3, 10, 7))
            yield from kind()
        yield self._act("shutdown", "service", {"reason": "demo over"}, current="stopped")
        yield self._act("deregistration", "service", {})

    def _beat(self) -> Iterator[Act]:
        load = round(self._random.uniform(0.05, 0.95), 2)
        yield self._act("health_check", "service", {"status": "healthy", "load": load})

    def _tool(self) -> Iterator[Act]:
        tool = self._random.choice(_TOOLS)
        call = f"{tool}-{self._random.randrange(16**6):06x}"
        yield self._act("call", "tool", {"tool": tool, "arguments": {"length": self._random.randrange(4000)}}, call)
        [end] = self._random.choices(("response", "error", "timeout"), (85, 10, 5))
        yield self._act(end, "tool", {"tool": tool, "duration_ms": self._random.randrange(5, 3000)}, call)

    def _report(self) -> Iterator[Act]:
        data = {
            "latency_ms": round(self._random.lognormvariate(3, 1), 1),
            "requests": self._random.randrange(1, 500),
            "token": "this text must not leave the database",
        }
        yield self._act("report", "metrics", data)

    def _configure(self) -> Iterator[Act]:
        data = {"key": "log_level", "value": self._random.choice(("debug", "info"))}
        yield self._act("update", "configuration", data)

    def _trade(self) -> Iterator[Act]:
        order = f"order-{self._random.randrange(16**6):06x}"
        yield self._act("created", "order", {"total": self._random.randrange(100, 90_000) / 100, "note": "ü✓"}, order)

    def _trouble(self) -> Iterator[Act]:
        yield self._act("error", "service", {"error": "connection reset"}, current="degraded")
        if self._random.random() < 0.4:
            yield self._act("fail", "demo", {"refuse": True}, expected="dead")
        elif self._now < self._seconds * _RETRIES_UNTIL and self._max_attempts > 1:
            times = self._random.randrange(1, min(3, self._max_attempts))
            yield self._act("fail", "demo", {"times": times})

    def _act(
        self,
        action: str,
        resource: str,
        data: dict[str, Any],
        resource_id: str | None = None,
        *,
        current: str | None = None,
        expected: str = "handled",
    ) -> Act:
        self._count += 1
        self._now += self._random.expovariate(self._rate)
        key = f"{self._source}-{self._count}"
        body = {
            "source": self._source,
            "action": action,
            "resource": resource,
            "resource_id": resource_id or self._instance,
            "environment": "demo",
            "correlation_id": key,
            "data": data,
        }
        if current is not None:
            body["current_state"] = current
        luck = self._random.random()
        return Act(self._now, key, body, expected, repeat=luck < 0.05, clash=luck < 0.01)
