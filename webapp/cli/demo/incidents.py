"""Notices whether Redis or a worker was started anew while the demo ran.

Then a task may be without an end for a while: its message died with the server, and the sweeper marks it lost when
it was silent for TASK_LOST_AFTER_S. Without such an incident every task must end.
"""

from __future__ import annotations

from typing import Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from tasks.queue.configuration import PATIENT
from webapp.cli.session import Session

_INSPECT_S = 1.0


class Incidents:
    """Remembers what runs now; ``since`` says what was started anew, or went, since then."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._redis = self._redis_run()
        self._workers = worker_pids(session.celery)

    def since(self) -> list[str]:
        """In words; empty where nothing happened."""
        words = ["Redis"] if self._redis_run() != self._redis else []
        now = worker_pids(self._session.celery)
        return words + [name for name, pids in sorted(self._workers.items()) if now.get(name) != pids]

    def _redis_run(self) -> str:
        try:
            return str(self._session.runtime.redis().info("server").get("run_id"))
        except redis.RedisError:
            return "away"


def worker_pids(app: Celery) -> dict[str, tuple[int, ...]]:
    """The processes of every worker that answers within a second, its main process first."""
    try:
        with app.connection_for_write(transport_options=PATIENT) as connection:
            inspector = app.control.inspect(timeout=_INSPECT_S, connection=connection)
            replies: dict[str, Any] = dict(inspector.stats() or {})
    except (OperationalError, redis.RedisError, OSError):
        return {}
    return {
        str(name): (int(stats["pid"]), *sorted(stats.get("pool", {}).get("processes", [])))
        for name, stats in replies.items()
    }
