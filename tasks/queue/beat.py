"""The beat scheduler: celery-redbeat, made to survive Redis going away, restarting empty, or being flushed.

One beat of many leads: it holds the lock and sends what is due. The others wait for the lock. redbeat's own way is
to die when the lock is gone, and to lose the schedule with it; here the leader takes the lock and writes the schedule
again.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import redis
from redbeat.schedulers import LUA_EXTEND_TO_SCRIPT, RedBeatScheduler, get_redis
from redis.exceptions import LockError

from tasks.queue.schedule import beat_schedule
from tasks.runtime import runtime_of

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_QUEUE_LIMIT = 100


class BridgeScheduler(RedBeatScheduler):  # type: ignore[misc]
    """Leads, follows, or waits for Redis; does not raise because of Redis."""

    lock: Any
    lock_key: Any
    lock_timeout: Any

    def __init__(self, app: Any, **options: Any) -> None:
        self._leads = False
        self._away = False
        super().__init__(app, **options)
        # redbeat's own handling of the lock is off, and here instead.
        self._own_lock_key: str = self.lock_key
        self.lock_key = None

    def setup_schedule(self) -> None:
        """Nothing yet: the schedule is written when this beat comes to lead."""

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Sends what is due, if this beat leads; returns the seconds until the next look."""
        try:
            if not self._lead():
                return float(self.max_interval)
            interval = float(super().tick(*arguments, **options))
        except (redis.RedisError, OSError) as problem:
            if not self._away:
                log.warning("beat-waits-for-redis", extra={"error": repr(problem)})
            self._away = True
            return _RETRY_S
        if self._away:
            log.info("beat-goes-on")
        self._away = False
        return interval

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        """Sends an entry's task, unless so many messages wait in its queue that nobody seems to work there."""
        queue = entry.options.get("queue", "")
        waiting = get_redis(self.app).llen(queue)
        if waiting >= _QUEUE_LIMIT:
            log.warning("beat-queue-full", extra={"queue": queue, "task_name": entry.task, "waiting": waiting})
            return self.reserve(entry)
        return super().apply_async(entry, producer=producer, advance=advance, **options)

    def close(self) -> None:
        """Gives up the lock, so that another beat takes over at once."""
        try:
            super().close()
        except (redis.RedisError, OSError) as problem:
            log.warning("beat-lock-not-released", extra={"error": repr(problem)})

    def _lead(self) -> bool:
        """Takes or extends the lock; writes the schedule when this beat begins to lead, or when it is gone."""
        client = get_redis(self.app)
        if self._leads:
            try:
                self.lock.extend(int(self.lock_timeout))
            except LockError:
                log.warning("beat-lock-lost")
                self._leads = False
        if not self._leads:
            lock = client.lock(self._own_lock_key, timeout=self.lock_timeout)
            lock.lua_extend = client.register_script(LUA_EXTEND_TO_SCRIPT)
            if not lock.acquire(blocking=False):
                return False
            self.lock, self._leads = lock, True
            log.info("beat-leads")
            self._write_schedule()
        elif not client.exists(self.app.redbeat_conf.statics_key):
            log.warning("beat-schedule-written-again")
            self._write_schedule()
        return True

    def _write_schedule(self) -> None:
        """Brings the schedule in Redis up to date; our own entries, none of which minds, are due at once."""
        super().setup_schedule()
        long_ago = self.app.now() - timedelta(days=1)
        for name in beat_schedule(runtime_of(self.app).settings):
            key = self.Entry.generate_key(self.app, name)
            self.Entry.from_key(key, app=self.app).reschedule(long_ago)
