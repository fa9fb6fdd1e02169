"""One worker's shift at the inbox: batches of the right size, company when there is much, ears when there is none."""

from __future__ import annotations

import time
from collections.abc import Callable

from tasks.hooks.batching import BatchSize
from tasks.hooks.handling import HookHandler
from tasks.queue import shutdown
from tasks.queue.nudges import Ears, tell_of_journal
from tasks.queue.telemetry import tell
from tasks.runtime import Runtime

_SLICE_S = 5.0
_LINGER_S = 0.3
# After a batch that was not full the next begins no sooner than this after it: a batch of many costs little more than
# one of few. One hook that comes alone waits for nothing.
_GATHER_S = 0.02
_CALL_AGAIN_AFTER_S = 0.25
# A full batch that took longer, or could not be larger, means that one worker does not keep up.
_SLOW_S = 0.1
_JOB = "hooks.handle"
BATCH_ROWS = "hook_batch_rows"


class Shift:
    """Works through what is due. ``call`` sends one more hint: a successor, or company."""

    def __init__(self, runtime: Runtime, call: Callable[[], bool]) -> None:
        self._runtime = runtime
        self._call = call
        self._handler = HookHandler(runtime.db, runtime.settings)
        self._size = BatchSize(runtime.settings.hook_batch_size)
        self._full = False
        self._called_at = float("-inf")
        self._told_at = float("-inf")

    def work(self) -> None:
        """Ends when nothing came for a while, or the slice is over and a successor goes on."""
        deadline = time.monotonic() + _SLICE_S
        with Ears(self._runtime.redis(), _JOB) as ears:
            more = self._listen(ears, deadline)
        # Who looked for ears a moment ago found some, and sent no message.
        while not more and self._batch():
            more = time.monotonic() > deadline
        if more:
            self._call()

    def _listen(self, ears: Ears, deadline: float) -> bool:
        """Works and waits; True when the slice is over and there is, or may be, more to do."""
        idle_since = time.monotonic()
        while time.monotonic() < deadline and not shutdown.requested():
            ears.keep()
            began = time.monotonic()
            if self._batch():
                idle_since = time.monotonic()
                if not self._full:
                    time.sleep(max(0.0, began + _GATHER_S - idle_since))
            elif ears.deaf or time.monotonic() - idle_since > _LINGER_S or not ears.wait(_LINGER_S):
                return False
        return True

    def _batch(self) -> int:
        limit = self._size.rows
        began = time.monotonic()
        claimed = self._handler.handle_due(limit)
        now = time.monotonic()
        at_most = limit >= self._runtime.settings.hook_batch_size or now - began > _SLOW_S
        self._full = claimed == limit
        self._size.learn(claimed, now - began)
        if self._full and at_most and now - self._called_at > _CALL_AGAIN_AFTER_S:
            self._called_at = now
            self._call()
        if claimed:
            tell_of_journal(self._runtime.redis())
        if claimed and now - self._told_at > 1.0:
            self._told_at = now
            tell(self._runtime, BATCH_ROWS, claimed)
        return claimed
