"""Looks at the clock for a while: fires what has come, and waits for the ticks that are near, so that none is late.

Beat asks for a look every few seconds. One looker at a time waits; the others find the lock taken and end. The lock
only saves work: what a tick needs to run once is in ``firing.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tasks.db.pool import Database
from tasks.queue.shutdown import Stop
from tasks.workflows.schedules import store
from tasks.workflows.schedules.firing import Firing

LOOK = "workflows.schedules"
QUEUE = "bridges"
# Beat asks this often. Who looks stays for ticks that come before the next look.
EVERY_S = 5.0
_STAY_S = EVERY_S + 1.0
# A schedule that is made meanwhile may be due sooner than what is waited for.
_LONGEST_NAP_S = 1.0
_SHORTEST_NAP_S = 0.01


def look(db: Database, firing: Firing, stop: Stop, fired: Callable[[], object], stay_s: float = _STAY_S) -> bool:
    """Fires what is due, and what becomes due within ``stay_s``. True where more is near: a successor should go on,
    since beat's next message may come too late for it. False at once where another looks already.

    ``fired`` is called after each commit with ticks in it. Raises:
        DatabaseUnavailable, DatabaseBusy: nothing is lost, the next look goes on.
    """
    with db.session() as session:
        if session.one(store.QUERIES["try_lock"]) != {"held": True}:
            return False
        deadline = time.monotonic() + stay_s
        while not stop.requested():
            if firing.fire_due():
                fired()
                if time.monotonic() > deadline:
                    return True
                continue
            due_in_s = store.next_due_in_s(session)
            if due_in_s is None or time.monotonic() + due_in_s > deadline:
                return due_in_s is not None and due_in_s < stay_s
            # What is due and not to be had is in the hands of another look.
            stop.wait(min(max(due_in_s, _SHORTEST_NAP_S), _LONGEST_NAP_S))
        return False
