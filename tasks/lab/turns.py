"""Waits for a turn: a slot at an endpoint whose circuit lets a call through, of the best model that has one.

While the best choice is only busy it is waited for, for a moment; then a lesser one will do.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from tasks.lab.choosing import usable_now
from tasks.lab.circuits import Circuits
from tasks.lab.errors import Cancelled, LabBusy, LabUnavailable
from tasks.lab.model import Candidate
from tasks.lab.slots import Slots

_SHORTEST_WAIT_S = 0.02
_LONGEST_WAIT_S = 0.5
LONGEST_PAUSE_S = 30.0


class Turns:
    """Gives turns to the questions of one process. ``spill_after_s``: how long the best choice is waited for."""

    def __init__(self, circuits: Circuits, slots: Slots, spill_after_s: float) -> None:
        self._circuits = circuits
        self._slots = slots
        self._spill_after_s = spill_after_s

    @contextmanager
    def turn(self, queue: Sequence[Candidate], deadline: float, cancelled: Callable[[], bool]) -> Iterator[Candidate]:
        """A candidate of the queue (best first), as it is now, that may be called for the length of the block.

        Raises:
            LabBusy: none had a slot free before the deadline (on ``time.monotonic()``'s clock).
            Cancelled: ``cancelled`` said so.
            LabUnavailable: none will let a call through before the deadline, nor within half a minute.
        """
        began = time.monotonic()
        wait_s = _SHORTEST_WAIT_S
        while True:
            if cancelled():
                raise Cancelled
            present = self._as_they_are(queue)
            willing = usable_now(present, datetime.now(UTC))
            if willing and time.monotonic() - began < self._spill_after_s:
                willing = [one for one in willing if one.tier == willing[0].tier]
            for candidate in willing:
                with self._slots.one(candidate.endpoint) as free:
                    if free and self._circuits.admits(candidate.endpoint):
                        yield candidate
                        return
            left_s = deadline - time.monotonic()
            if not willing and not _soon(present, min(left_s, LONGEST_PAUSE_S)):
                raise LabUnavailable(
                    "No model that fits takes calls now: their circuits are open, or they are paused."
                )
            if left_s <= wait_s:
                raise LabBusy("Every model that fits is at its limit of calls; none became free in time.")
            time.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - spread, not secrecy
            wait_s = min(_LONGEST_WAIT_S, wait_s * 1.5)

    def _as_they_are(self, queue: Sequence[Candidate]) -> list[Candidate]:
        now = {endpoint.id: endpoint for endpoint in self._circuits.endpoints() if endpoint.enabled}
        return [Candidate(now[one.endpoint.id], one.model) for one in queue if one.endpoint.id in now]


def _soon(candidates: Sequence[Candidate], within_s: float) -> bool:
    """Whether one of them may take calls in time: its pause or its circuit's time ends, or it is just being tried."""
    now = datetime.now(UTC)
    for one in candidates:
        endpoint = one.endpoint
        tried = endpoint.circuit == "half_open"
        ends = [now, endpoint.paused_until or now, now if tried else endpoint.circuit_until or now]
        if (max(ends) - now).total_seconds() < within_s:
            return True
    return False
