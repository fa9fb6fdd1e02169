"""Steps that one worker claimed together: begun one after the other. While one takes too long, those done before it
are ended without it, and those behind it are given back.

``durations.py`` knows which are short, and so worth being taken together.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from uuid import UUID

from tasks.db.pool import Transaction
from tasks.workflows.store import steps
from tasks.workflows.store.steps import Claimed
from tasks.workflows.work.after import After
from tasks.workflows.work.holding import Holding
from tasks.workflows.work.outcomes import Succeeded

log = logging.getLogger(__name__)

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
        self._claimed = Holding([(one.place, one) for one in claimed])
        self._end = end
        self._behind = behind
        self._told = False
        # Held while steps are being ended, so that nobody ends them twice.
        self._ending = threading.Lock()
        self._good: list[Good] = []
        self._early: list[tuple[list[Good], After]] = []

    def next(self) -> Claimed | None:
        """The step to begin with now; None: there is no other."""
        return self._claimed.next()

    @property
    def more(self) -> bool:
        """Whether others wait in it."""
        return self._claimed.more

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
        self._claimed.drop(places)

    def renew(self, tx: Transaction) -> int:
        """Renews the lease of what is held, and gives back what waits behind a step that takes long."""
        late = self._claimed.late
        ready = self._end_early() if late else ()
        given = self._claimed.take_back() if late else []
        if given:
            steps.release(tx, self._run_id, given, self._token)
        behind = self._behind() if late and not self._told else ()
        self._told |= bool(behind)
        if ready or behind:
            # The clock sends them to others, as it does what is given back.
            steps.postpone(tx, [(self._run_id, place) for place in (*ready, *behind)], 0.0)
        return steps.renew(tx, self._run_id, self._claimed.held, self._token, self._lease_s)

    def give_back(self, tx: Transaction) -> None:
        """running → ready, what was not begun: the worker stops."""
        given = self._claimed.take_back()
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
                self._claimed.drop(places)
                self._early.append((good, after))
            return after.ready
