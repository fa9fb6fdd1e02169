"""Lets threads that come at the same time share one piece of work: the first does it for all that wait.

Group commit, as databases do it for their log (DeWitt et al., "Implementation Techniques for Main Memory Database
Systems", SIGMOD 1984). While one thread works, the others gather; when it is done, one of them leads the next
round. A thread that comes alone waits for nobody.

A round costs much however few are in it: a flush of the log, a statement's beginning and end, the way there and back.
So where threads come in company, rounds begin some time apart. After a round of one nobody is held up.

The last of a round leads it: it has the most time left, and the deadline of its work is the whole round's. Led by the
first, a round that waited for a slow one would fail by the few moments that the first has left.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

# Of the most that were here lately so many are nearly all; and so much of it counts a round later.
_NEARLY_ALL = 0.9

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class GaveUp(Exception):
    """The time was over before the work was done. ``begun``: it may still be done."""

    def __init__(self, begun: bool) -> None:
        super().__init__("begun" if begun else "not begun")
        self.begun = begun


class _Turn(Generic[Item, Answer]):
    """One thread's item, and the gate it waits at: opened when the work is done, or when it is to lead."""

    __slots__ = ("answers", "gate", "item", "problem", "settled")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.answers: list[Answer] = []
        self.problem: BaseException | None = None
        self.settled = False
        self.gate = threading.Lock()
        self.gate.acquire()

    def settle(self, answer: Answer) -> None:
        self.answers = [answer]
        self.settled = True

    def fail(self, problem: BaseException) -> None:
        self.problem = problem
        self.settled = True

    def result(self) -> Answer:
        if self.problem is not None:
            raise self.problem
        return self.answers[0]


class Grouped(Generic[Item, Answer]):
    """Calls ``work`` with the items of up to ``most`` threads at a time; one call at a time.

    ``work`` returns an answer for each item, in order. What it raises, each of the threads raises. A call begins no
    sooner than ``apart_s`` after one that was for several, unless nearly all are here who were here lately: who sends
    one after the other does not come again before it has its answer.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Answer]], most: int, apart_s: float = 0.0) -> None:
        self._work = work
        self._most = most
        self._apart_s = apart_s
        self._next_at = float("-inf")
        self._here_lately = 0.0
        self._gathering: threading.Lock | None = None
        self._lock = threading.Lock()
        self._waiting: deque[_Turn[Item, Answer]] = deque()
        self._led = False

    def __call__(self, item: Item, timeout_s: float) -> Answer:
        """The answer of ``work`` to ``item``.

        Raises:
            GaveUp: it was still another thread's turn after ``timeout_s``.
        """
        turn: _Turn[Item, Answer] = _Turn(item)
        with self._lock:
            self._waiting.append(turn)
            if self._gathering is not None and self._nearly_all_wait():
                self._gathering.release()
                self._gathering = None
            leads = not self._led
            self._led = True
        if not leads:
            self._wait(turn, timeout_s)
        if not turn.settled:
            self._lead(turn)
        return turn.result()

    def _wait(self, turn: _Turn[Item, Answer], timeout_s: float) -> None:
        try:
            if turn.gate.acquire(timeout=timeout_s):
                return
        except BaseException:
            self._leave(turn)
            raise
        with self._lock:
            if turn.gate.acquire(blocking=False):
                return
            begun = turn not in self._waiting
            if not begun:
                self._waiting.remove(turn)
        raise GaveUp(begun)

    def _leave(self, turn: _Turn[Item, Answer]) -> None:
        """Whoever waits for ``turn`` was cancelled (a greenlet, at shutdown): the others go on without it."""
        with self._lock:
            with suppress(ValueError):
                self._waiting.remove(turn)
            if turn.gate.acquire(blocking=False) and not turn.settled:
                self._pass_on()

    def _lead(self, leader: _Turn[Item, Answer]) -> None:
        self._let_gather(leader)
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        if len(group) > 1:
            self._next_at = time.monotonic() + self._apart_s
        try:
            answers = self._work([turn.item for turn in group])
            for turn, answer in zip(group, answers, strict=True):
                turn.settle(answer)
        except BaseException as problem:  # noqa: BLE001 - each of the threads raises it
            # What cancels the leader is not meant for the others.
            theirs = problem if isinstance(problem, Exception) else GaveUp(begun=True)
            for turn in group:
                turn.fail(problem if turn is leader else theirs)
        with self._lock:
            self._here_lately = max(len(group) + len(self._waiting), _NEARLY_ALL * self._here_lately)
            self._pass_on()
        for turn in group:
            if turn is not leader:
                turn.gate.release()

    def _let_gather(self, leader: _Turn[Item, Answer]) -> None:
        """Waits for company until the next round may begin, or until nearly all are here."""
        left_s = self._next_at - time.monotonic()
        with self._lock:
            if left_s <= 0 or self._nearly_all_wait():
                return
            self._gathering = enough = threading.Lock()
            enough.acquire()
        try:
            enough.acquire(timeout=left_s)
        except BaseException:
            with self._lock:
                self._gathering = None
                self._waiting.remove(leader)
                self._pass_on()
            raise
        with self._lock:
            self._gathering = None

    def _nearly_all_wait(self) -> bool:
        return len(self._waiting) >= min(self._most, _NEARLY_ALL * self._here_lately)

    def _pass_on(self) -> None:
        """Lets the last of the next round lead it. To be called under the lock."""
        if self._waiting:
            self._waiting[min(self._most, len(self._waiting)) - 1].gate.release()
        else:
            self._led = False
