"""The servers and processes of one bench: fresh, durable, on free ports, gone when the bench ends.

PostgreSQL with fsync and synchronous commit, Valkey with an append-only file synced every second, and the embedded
broker, each as `omninode up` starts it. Programs are started with the same command lines as there.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType

import psutil
import psycopg2
import redis

from tasks.access.service import AccessService
from tasks.db.migrate import migrate
from tasks.db.pool import Database
from tasks.settings import Settings, load_settings
from tests.bench.model import BenchError
from webapp.stack import servers
from webapp.stack.process import ServerProcess

ROOT = Path(__file__).parents[2]
_READY_S = 60.0
_STOP_S = 20.0
_LOG_END = 3000
_ALONE = ("--without-mingle", "--without-gossip")


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """The processor time that ``processes`` have used so far, user and system. Those that are gone count nothing."""
    used = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system
    return used


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started."""
    main = psutil.Process(pid)
    return [main, *main.children(recursive=True)]


def _is_dead(process: psutil.Process) -> bool:
    """Whether it has ended; an orphan may wait a second or two until it is buried."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Program:
    """A started process of a bench. It dies with the bench."""

    def __init__(self, name: str, command: tuple[str, ...], environ: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                servers.dying_with_parent(command),
                cwd=ROOT,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The main process."""
        return self._popen.pid

    def processes(self) -> list[psutil.Process]:
        """The main process and all that it has started."""
        return family(self.pid)

    def wait_until(self, ready: Callable[[], bool], seconds: float = _READY_S) -> None:
        """Returns as soon as ``ready()``. Raises BenchError where the process ends first, or time is up."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self._popen.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{self.name} is not ready. The end of {self.log}:\n{self.log_end()}")
            time.sleep(0.02)

    def log_end(self) -> str:
        """The last of what it wrote."""
        return self.log.read_text(errors="replace")[-_LOG_END:]

    def wait(self, seconds: float) -> None:
        """Waits for its end. Raises BenchError where it failed, or goes on for longer than ``seconds``."""
        try:
            code = self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.name} did not end within {seconds:g} s") from None
        if code:
            raise BenchError(f"{self.name} failed. The end of {self.log}:\n{self.log_end()}")

    def kill(self) -> None:
        """Ends it and its children at once."""
        if self._popen.poll() is None:
            processes = self.processes()
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._popen.wait(_STOP_S)
            deadline = time.monotonic() + _STOP_S
            while not all(map(_is_dead, processes)) and time.monotonic() < deadline:
                time.sleep(0.005)


class Ground:
    """What a bench stands on. Servers start when they are first asked for; all ends with the ``with`` block.

    ``postgres`` is the URL of a PostgreSQL that is there already: then a new database of it is used.
    """

    def __init__(self, folder: Path, postgres: str | None = None) -> None:
        self._postgres = postgres
        self._data = folder / "servers"
        self._logs = folder / "logs"
        self._servers: list[ServerProcess] = []
        self._programs: list[Program] = []

    def __enter__(self) -> Ground:
        self._data.mkdir(parents=True)
        self._logs.mkdir()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # Nobody waits for what they would still finish.
        for program in reversed(self._programs):
            program.kill()
        for server in reversed(self._servers):
            server.stop()
        shutil.rmtree(self._data)

    @cached_property
    def postgres_url(self) -> str:
        """A migrated database of a durable PostgreSQL."""
        if self._postgres is None:
            url = self._serve(servers.postgres(self._data / "postgres", servers.free_port())).server.url
        else:
            url = self.database(f"bench_{secrets.token_hex(4)}", at=self._postgres)
        migrate(url)
        return url

    @cached_property
    def redis_url(self) -> str:
        """A Valkey."""
        return self._serve(servers.valkey(self._data / "valkey", servers.free_port())).server.url

    @cached_property
    def kafka(self) -> ServerProcess:
        """A broker; it keeps all in memory, so ``restart()`` empties it."""
        return self._serve(servers.kafka(servers.free_port()))

    def redis_database(self, number: int) -> str:
        """The URL of another database of the Valkey, for a side that must not meet the other's keys."""
        return f"{self.redis_url.rsplit('/', 1)[0]}/{number}"

    def redis(self, database: int = 0) -> redis.Redis:
        """A client of a database of the Valkey."""
        return redis.Redis.from_url(self.redis_database(database), socket_timeout=30)

    def database(self, name: str, at: str | None = None) -> str:
        """The URL of another, empty database of the same PostgreSQL, or of the one ``at``."""
        at = at or self.postgres_url
        self.query(f"CREATE DATABASE {name}", url=at)
        return at.rsplit("/", 1)[0] + "/" + name

    def query(self, statement: str, *values: object, url: str | None = None) -> list[tuple[object, ...]]:
        """Runs one statement outside of a transaction."""
        connection = psycopg2.connect(url or self.postgres_url, connect_timeout=5)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def number(self, statement: str, *values: object, url: str | None = None) -> int:
        """The one number that a statement gives."""
        return int(str(self.query(statement, *values, url=url)[0][0]))

    def cpu_s(self, *programs: Program) -> float:
        """The processor time that all servers and ``programs`` have used so far."""
        return sum(self.servers_cpu_s().values()) + sum(cpu_s(program.processes()) for program in programs)

    def servers_cpu_s(self) -> dict[str, float]:
        """The processor time of each server, by its name."""
        return {server.server.name: cpu_s(family(server.pid)) for server in self._servers}

    def settle(self) -> None:
        """Lets no run begin with the writes of the one before: dirty pages are on disk when this returns."""
        self.query("CHECKPOINT")

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of our own programs: the defaults of `omninode up`, on these servers. The limits on the
        rate are so high that they never refuse; they are kept count of all the same."""
        return {
            **self.bare_environ(),
            "DATABASE_URL": self.postgres_url,
            "REDIS_URL": self.redis_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.server.url,
            "KAFKA_EPHEMERAL": "true",
            "RATE_LIMIT_HOOKS": "1000000 per second",
            "RATE_LIMIT_DEFAULT": "1000000 per second",
            **more,
        }

    def bare_environ(self, **more: str) -> dict[str, str]:
        """The environment of a program that is not ours: nothing of the caller's own but where programs are."""
        kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
        inherited = {name: os.environ[name] for name in kept if name in os.environ}
        return {**inherited, "PYTHONPATH": str(ROOT), **more}

    def settings(self, **more: str) -> Settings:
        """The same as ``Settings`` for this process."""
        return load_settings(self.environ(**more))

    def api_key(self) -> str:
        """A new API key that may post hooks and executions, and ask about models."""
        db = Database(self.settings(), "bench")
        try:
            return AccessService(db).create("bench", ["hooks:write", "metrics:write", "metrics:read"])[1]
        finally:
            db.close()

    def start(self, name: str, *arguments: str, environ: Mapping[str, str]) -> Program:
        """Starts ``python -m arguments``."""
        program = Program(name, (sys.executable, "-m", *arguments), environ, self._logs / f"{name}.log")
        self._programs.append(program)
        return program

    def kill(self, program: Program) -> None:
        """Ends a program before the bench ends, at once: what it holds is nobody's loss."""
        program.kill()
        self._programs.remove(program)

    def worker(self, name: str, app: str, *arguments: str, environ: Mapping[str, str]) -> Program:
        """A Celery worker that starts at once: it does not ask after others."""
        return self.start(
            name, "celery", "-A", app, "worker", "-n", f"{name}@%h", *_ALONE, *arguments, environ=environ
        )

    def _serve(self, server: servers.Server) -> ServerProcess:
        process = ServerProcess(server, self._logs / f"{server.name}.log")
        self._servers.append(process)
        return process
