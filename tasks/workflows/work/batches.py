"""Steps that one worker claimed together: begun one after the other. While one takes too long, those done before it
are ended without it, and those behind it are given back.

``durations.py`` knows which are short, and so worth being taken together.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

from tasks.db.pool import Transaction
from tasks.workflows.store import steps
from tasks.workflows.store.steps import Claimed
from tasks.workflows.work.after import After
from tasks.workflows.work.outcomes import Succeeded

log = logging.getLogger(__name__)

# What waits in a batch while one step takes longer than this is given back.
_PATIENCE_S = 0.5

Good = tuple[Claimed, Succeeded]


class Batch:
    """Claimed steps under one token. The thread that renews leases and the one that works share it.

    ``end`` ends steps that succeeded, all or none, from whichever thread; ``behind`` are those of the same
    message that are not claimed yet.
    """

    def __init__(
        self,
        run_id: UUID,
        claimed: Sequence[Claimed],
        token: UUID,
        lease_s: float,
        end: Callable[[Sequence[Good]], After],
        behind: Callable[[], Sequence[int]],
    ) -> None:
        self._run_id = run_id
        self._token = token
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._todo = deque(claimed)
        self._held = {one.place for one in claimed}
        self._began_at = time.monotonic()
        self._end = end
        self._behind = behind
        self._told = False
        # Held while steps are being ended, so that nobody ends them twice.
        self._ending = threading.Lock()
        self._good: list[Good] = []
        self._early: list[tuple[list[Good], After]] = []

    def next(self) -> Claimed | None:
        """The step to begin with now; None: there is no other."""
        with self._lock:
            self._began_at = time.monotonic()
            return self._todo.popleft() if self._todo else None

    @property
    def more(self) -> bool:
        """Whether others wait in it."""
        return bool(self._todo)

    def succeeded(self, one: Claimed, outcome: Succeeded) -> None:
        """A step is done, to be ended with others."""
        with self._lock:
            self._good.append((one, outcome))

    @property
    def good(self) -> bool:
        """Whether any are done and to be ended, or followed up."""
        with self._lock:
            return bool(self._good or self._early)

    def take(self) -> tuple[list[Good], list[tuple[list[Good], After]]]:
        """What is done and to be ended by the caller; and what was ended early, with what is left to do after it."""
        with self._ending, self._lock:
            good, early = self._good, self._early
            self._good, self._early = [], []
        return good, early

    def ended(self, places: Sequence[int]) -> None:
        """These are held no more."""
        with self._lock:
            self._held.difference_update(places)

    def renew(self, tx: Transaction) -> int:
        """Renews the lease of what is held, and gives back what waits behind a step that takes long."""
        late = time.monotonic() - self._began_at > _PATIENCE_S
        ready = self._end_early() if late else ()
        with self._lock:
            given = self._taken() if late else []
            held = sorted(self._held)
        if given:
            steps.release(tx, self._run_id, given, self._token)
        behind = self._behind() if late and not self._told else ()
        self._told |= bool(behind)
        if ready or behind:
            # The clock sends them to others, as it does what is given back.
            steps.postpone(tx, [(self._run_id, place) for place in (*ready, *behind)], 0.0)
        return steps.renew(tx, self._run_id, held, self._token, self._lease_s)

    def give_back(self, tx: Transaction) -> None:
        """running → ready, what was not begun: the worker stops."""
        with self._lock:
            given = self._taken()
        if given:
            steps.release(tx, self._run_id, given, self._token)

    def _end_early(self) -> Sequence[int]:
        """Ends what is done, so that it does not wait for the step that takes long; returns what became ready by it.
        What can't be ended so is left to the thread that works, and so are effects, which are a user's code."""
        with self._ending:
            with self._lock:
                good = [each for each in self._good if not each[1].effects]
            if not good:
                return ()
            try:
                after = self._end(good)
            except Exception as problem:  # noqa: BLE001 - the thread that works meets it too, and deals with it
                log.info(
                    "steps-not-ended-early", extra={"run_id": str(self._run_id), "error": type(problem).__name__}
                )
                return ()
            with self._lock:
                places = {one.place for one, _ in good}
                self._good = [each for each in self._good if each[0].place not in places]
                self._held.difference_update(places)
                self._early.append((good, after))
            return after.ready

    def _taken(self) -> list[int]:
        given = [one.place for one in self._todo]
        self._todo.clear()
        self._held.difference_update(given)
        return given
