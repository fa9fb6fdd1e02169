"""Nudges: how a job that is at work, or lingers for more, hears of new rows without a message of its own.

A Celery message costs its sender and its worker milliseconds, a nudge a fraction of one. A job that listens says so
under a key that expires; whoever has committed rows looks there first, and only where nobody listens sends a hint.
Nothing is lost between the two: a listener first takes its key away and then looks at the rows once more, a sender
first commits and then looks for the key.
"""

from __future__ import annotations

import logging
import time
from types import TracebackType

import redis

from tasks.ids import new_id

log = logging.getLogger(__name__)

# Who listens for new journal rows: the relay.
JOURNAL = "journal"

_PREFIX = "omninode:listening:"
_KEEP_S = 2.0
_RENEW_AFTER_S = 0.5
_NUDGE_LASTS_S = 5
# KEYS: who listens and the nudges, of each job in turn. One nudge waits at most: it says "look", and looking twice
# finds nothing new. Answers whether anybody listens for the first job.
_NUDGE = f"""
local heard = redis.call('EXISTS', KEYS[1])
for i = 1, #KEYS, 2 do
if redis.call('EXISTS', KEYS[i]) == 1 then
redis.call('LPUSH', KEYS[i + 1], '1')
redis.call('LTRIM', KEYS[i + 1], 0, 0)
redis.call('EXPIRE', KEYS[i + 1], {_NUDGE_LASTS_S})
end
end
return heard
"""
# Takes the place where it is free, the listener's own too when it was too busy to say in time that it still listens.
_LISTEN = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
"""
_LEAVE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


def nudge(client: redis.Redis, job: str, *others: str) -> bool:
    """Wakes the listeners of ``job`` and of ``others``; False where nobody listens for ``job``.

    Raises:
        redis.RedisError: Redis did not answer.
    """
    keys = [key for name in (job, *others) for key in _keys(name)]
    return bool(client.eval(_NUDGE, len(keys), *keys))


def tell_of_journal(client: redis.Redis) -> None:
    """Wakes the relay, after a commit with journal rows. Never raises: it looks by itself now and then."""
    try:
        nudge(client, JOURNAL)
    except redis.RedisError:
        return


class Ears:
    """The one listener of a job, for the ``with`` block; deaf where another listens, or Redis does not answer.

    After the block nobody counts on it any more: look at the rows once again.
    """

    def __init__(self, client: redis.Redis, job: str) -> None:
        self._client = client
        self._key, self._nudges = _keys(job)
        self._token = str(new_id())
        self._asked_at = 0.0
        self.deaf = True

    def __enter__(self) -> Ears:
        self.deaf = not self._ask()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if not self.deaf:
            self.deaf = True
            try:
                self._client.eval(_LEAVE, 1, self._key, self._token)
            except redis.RedisError as problem:
                # The key expires by itself; until then the sweeper finds what nobody hears of.
                log.warning("listening-not-ended", extra={"error": type(problem).__name__})

    def keep(self) -> None:
        """Says now and then, to be called while there is work, that somebody still listens; deaf where, after a pause
        or a failure of Redis, another has taken the place. What came meanwhile, nobody has heard of."""
        if not self.deaf and time.monotonic() - self._asked_at > _RENEW_AFTER_S:
            self.deaf = not self._ask()

    def try_again(self) -> None:
        """For one who must listen: takes the place over, now and then, when the other has left it."""
        if self.deaf and time.monotonic() - self._asked_at > _RENEW_AFTER_S:
            self.deaf = not self._ask()

    def wait(self, seconds: float) -> bool:
        """Waits for a nudge; False where none came."""
        if self.deaf:
            return False
        self.keep()
        try:
            return self._client.blpop([self._nudges], timeout=seconds) is not None
        except redis.RedisError:
            self.deaf = True
            return False

    def _ask(self) -> bool:
        self._asked_at = time.monotonic()
        try:
            return bool(self._client.eval(_LISTEN, 1, self._key, self._token, int(_KEEP_S * 1000)))
        except redis.RedisError:
            return False


def _keys(job: str) -> tuple[str, str]:
    return _PREFIX + job, f"{_PREFIX}{job}:nudges"
