"""Steps that one worker claimed together: begun one after the other, and given back while one takes too long.

Also what this process has learned of how long steps take: short ones are worth being taken together.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from uuid import UUID

from tasks.db.pool import Transaction
from tasks.workflows.store import steps
from tasks.workflows.store.steps import Claimed
from tasks.workflows.work.contexts import RunContext

# What waits in a batch while one step takes longer than this is given back.
_PATIENCE_S = 0.5
_SHORT_S = 0.005
_WEIGHT = 0.3
_KEPT = 20_000


class Batch:
    """Claimed steps under one token. The thread that renews leases and the one that works share it."""

    def __init__(self, run_id: UUID, claimed: Sequence[Claimed], token: UUID, lease_s: float) -> None:
        self._run_id = run_id
        self._token = token
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._todo = deque(claimed)
        self._held = {one.place for one in claimed}
        self._began_at = time.monotonic()

    def next(self) -> Claimed | None:
        """The step to begin with now; None: there is no other."""
        with self._lock:
            self._began_at = time.monotonic()
            return self._todo.popleft() if self._todo else None

    @property
    def more(self) -> bool:
        """Whether others wait in it."""
        return bool(self._todo)

    def ended(self, places: Sequence[int]) -> None:
        """These are held no more."""
        with self._lock:
            self._held.difference_update(places)

    def renew(self, tx: Transaction) -> int:
        """Renews the lease of what is held, and gives back what waits behind a step that takes long."""
        with self._lock:
            late = time.monotonic() - self._began_at > _PATIENCE_S
            given = self._taken() if late else []
            held = sorted(self._held)
        if given:
            steps.release(tx, self._run_id, given, self._token)
        return steps.renew(tx, self._run_id, held, self._token, self._lease_s)

    def give_back(self, tx: Transaction) -> None:
        """running → ready, what was not begun: the worker stops."""
        with self._lock:
            given = self._taken()
        if given:
            steps.release(tx, self._run_id, given, self._token)

    def _taken(self) -> list[int]:
        given = [one.place for one in self._todo]
        self._todo.clear()
        self._held.difference_update(given)
        return given


class Durations:
    """How long attempts at steps took in this process, by workflow and step; made by ``Runtime.kept``."""

    def __init__(self, _runtime: object) -> None:
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()

    def learn(self, context: RunContext, place: int, seconds: float) -> None:
        """An attempt took so long."""
        key = context.row.name, context.key(place)
        known = self._known.get(key)
        # What took long once is not taken for short soon.
        self._known[key] = seconds if known is None or seconds > known else known + _WEIGHT * (seconds - known)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def short_s(self, context: RunContext, place: int) -> float | None:
        """How long the step takes, where it is known to be short."""
        if context.is_slow(place):
            return None
        known = self._known.get((context.row.name, context.key(place)))
        return known if known is not None and known < _SHORT_S else None

    def close(self) -> None:
        """Forgets all."""
        self._known.clear()
