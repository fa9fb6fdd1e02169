"""Workers on servers of their own, and what is done to them: killed, emptied, started again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import psutil
import redis

from tasks.db.migrate import migrate
from tasks.settings import Settings, load_settings
from tests.integration.conftest import CeleryProcess, CeleryProcesses
from webapp.stack import servers
from webapp.stack.process import ServerProcess


class Chaos:
    """A PostgreSQL, a Valkey, and two workers of ``queue``, which may still be starting.

    ``environ`` is of settings and workers alike; faults are drawn by ``seed``.
    """

    def __init__(self, folder: Path, logs: Path, queue: str, environ: Mapping[str, str], seed: int) -> None:
        self.postgres = ServerProcess(
            servers.postgres(folder / "postgres", servers.free_port(), durable=False), folder / "postgres.log"
        )
        self.valkey = ServerProcess(servers.valkey(folder / "valkey", servers.free_port()), folder / "valkey.log")
        migrate(self.postgres.server.url)
        self.settings: Settings = load_settings(
            {
                "DATABASE_URL": self.postgres.server.url,
                "REDIS_URL": self.valkey.server.url,
                "ENVIRONMENT": "test",
                **environ,
            }
        )
        self.random = random.Random(seed)
        self._queue = queue
        self._environ = dict(environ)
        self._processes = CeleryProcesses(self.settings, logs)
        self.workers = [self.start(queue) for _ in range(2)]

    def start(self, queue: str) -> CeleryProcess:
        """One more worker."""
        return self._processes.worker(queue, concurrency=2, wait=False, **self._environ)

    def close(self) -> None:
        """Ends everything."""
        self._processes.close()
        self.valkey.stop()
        self.postgres.stop()

    def kill_a_worker(self) -> None:
        """SIGKILLs a whole worker, or one process of its pool, while it works."""
        number = self.random.randrange(len(self.workers))
        victim = self.workers[number]
        children = psutil.Process(victim.pid).children()
        if children and self.random.random() < 0.5:
            self.random.choice(children).kill()
            return
        victim.kill()
        self.workers[number] = self.start(self._queue)

    def flush(self) -> None:
        """Empties Valkey: queues, chords' counts, who listens."""
        self.redis().flushall()

    def restart_postgres(self) -> None:
        """Kills PostgreSQL, and starts it again when what it was doing has noticed: it does not start before."""
        backends = psutil.Process(self.postgres.pid).children(recursive=True)
        self.postgres.kill()
        _, left = psutil.wait_procs(backends, timeout=30)
        assert not left, left
        self.postgres.restart()

    def redis(self) -> redis.Redis:
        """A client of the Valkey."""
        return redis.Redis.from_url(self.valkey.server.url, socket_timeout=5, decode_responses=True)
