"""Brings the embedded stack up and down: servers, schema, key, processes, each shown to work before the next.

``Stack`` is one run of it. It owns the supervisor; everything else is the supervisor's child.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import FrameType

from tasks.access.model import SCOPES
from tasks.access.service import AccessService
from tasks.db.migrate import migrate
from tasks.db.pool import Database
from tasks.errors import Unauthorized
from tasks.queue.app import create_celery
from tasks.settings import load_settings
from webapp.stack import leftovers, servers
from webapp.stack.folder import StackFolder, address, ports_to_itself
from webapp.stack.servers import Server, ServerError, dying_with_parent
from webapp.stack.supervisor import Program, Supervisor, log_end

_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 45.0
_POLL_S = 0.1
_WATCH_S = 0.5

Progress = Callable[[str, float, str], None]
# Where a user's own servers are is no matter of the embedded stack.
_NOT_OURS = ("DATABASE_URL_FILE", "REDIS_URL_FILE")


class Interrupted(Exception):
    """Somebody asked to stop while the stack was starting."""


@dataclass(frozen=True)
class Options:
    """How the stack is to run: its folder, the ports that were asked for, and whether Flower is wanted."""

    path: Path
    ports: Mapping[str, int | None]
    flower: bool = True


class Stack:
    """One run of the embedded stack."""

    def __init__(self, options: Options, progress: Progress) -> None:
        self._options = options
        self._progress = progress
        self._stopping = Event()
        self._lock: int | None = None
        self._supervisor: Supervisor | None = None
        self.state: dict[str, object] = {}

    def ask_to_stop(self, signum: int = 0, frame: FrameType | None = None) -> None:  # noqa: ARG002 - a signal handler
        """Ends ``start`` and ``watch`` soon. May be called any number of times, from a signal handler too."""
        self._stopping.set()

    def start(self) -> None:
        """Starts everything; when it returns, the system answers and workers listen.

        Raises:
            ServerError: something does not start; the text has the end of its log.
            Interrupted: ``ask_to_stop`` was called.
        """
        folder = StackFolder.prepare(self._options.path)
        self._lock = folder.lock()
        ended = leftovers.end_leftovers(folder)
        if ended:
            self._progress("cleaned up", 0.0, f"{len(ended)} processes of an earlier run were ended")
        with ports_to_itself(self._pause):
            self._start(folder)

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Interrupted

    def _start(self, folder: StackFolder) -> None:
        ports = folder.choose_ports(self._options.ports, lambda note: self._progress("ports", 0.0, note))
        began = time.monotonic()
        database = servers.postgres(folder.path / "postgres", ports["postgres"])
        broker = servers.valkey(folder.path / "valkey", ports["valkey"])
        kafka = servers.kafka(ports["kafka"])
        environ = self._environ(database, broker, kafka)
        load_settings(environ)
        programs = self._programs(database, broker, kafka, ports)
        self._supervisor = Supervisor(folder, ports["supervisor"], programs, environ)
        self._progress("prepared", time.monotonic() - began, str(folder.path))
        for server in (database, broker, kafka):
            self._supervisor.start(server.name)
        for server in (database, broker, kafka):
            self._wait(folder, server.name, server.probe, f"{servers.HOST}:{server.port}")
        began = time.monotonic()
        applied = migrate(database.url)
        self._progress("schema", time.monotonic() - began, f"{len(applied)} migrations applied")
        key = self._api_key(folder, environ)
        self.state = {
            "url": address(ports["http"]),
            "api_key": key,
            "database": database.url,
            "redis": broker.url,
            "kafka": kafka.url,
            "flower_url": address(ports["flower"]) if self._options.flower else None,
            "pids": {},
        }
        self._start_apps(folder, environ, ports)
        self._write_state(folder)

    def watch(self) -> bool:
        """Keeps ``stack.json`` true until somebody asks to stop (True) or the supervisor dies (False)."""
        folder = StackFolder(self._options.path.resolve())
        while not self._stopping.wait(_WATCH_S):
            if self._supervisor is None or not self._supervisor.is_alive():
                return False
            self._write_state(folder)
        return True

    def stop(self) -> bool:
        """Stops everything, servers last; False where something had to be killed."""
        if self._lock is None:
            return True
        folder = StackFolder(self._options.path.resolve())
        in_time = self._supervisor is None or self._supervisor.stop(_STOP_WITHIN_S)
        left = leftovers.end_leftovers(folder) if self._supervisor is not None else []
        folder.state_file.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None
        return in_time and not left

    def _start_apps(self, folder: StackFolder, environ: Mapping[str, str], ports: Mapping[str, int]) -> None:
        assert self._supervisor is not None
        names = [
            "gunicorn",
            "worker",
            "lab_worker",
            "bridge_worker",
            "beat",
            *(["flower"] if self._options.flower else []),
        ]
        for name in names:
            self._supervisor.start(name)
        url = address(ports["http"])
        self._wait(folder, "gunicorn", lambda: _answers(f"{url}/health/live"), url)
        celery = create_celery(load_settings(environ), role="cli")
        try:
            for name in ("worker", "lab_worker", "bridge_worker"):
                self._wait(folder, name, lambda name=name: _ping(celery, name), "listens")  # type: ignore[misc]
        finally:
            celery.bridge.close()
            celery.close()
        self._wait(folder, "beat", lambda: None, "ticks")
        if self._options.flower:
            flower = address(ports["flower"])
            self._wait(folder, "flower", lambda: _answers(f"{flower}/healthcheck"), flower)

    def _wait(self, folder: StackFolder, name: str, probe: Callable[[], None], where: str) -> None:
        """Waits until the program runs and its probe does not raise."""
        assert self._supervisor is not None
        began = time.monotonic()
        while True:
            leftovers.note_pids(folder, self._supervisor.pids())
            try:
                if not self._supervisor.is_running(name):
                    raise ServerError("it does not stay up")
                probe()
            except Exception as problem:
                if self._stopping.wait(_POLL_S):
                    raise Interrupted from problem
                late = time.monotonic() - began > _READY_WITHIN_S
                if late or self._supervisor.has_given_up(name):
                    log = folder.logs / f"{name}.log"
                    raise ServerError(f"{name} does not start ({problem}).\n{log_end(log)}") from problem
            else:
                self._progress(name, time.monotonic() - began, where)
                return

    def _write_state(self, folder: StackFolder) -> None:
        if self._supervisor is None or not self._supervisor.is_alive():
            return
        pids = {"up": os.getpid(), **self._supervisor.pids()}
        if pids != self.state["pids"]:
            self.state["pids"] = pids
            leftovers.note_pids(folder, {name: pid for name, pid in pids.items() if name != "up"})
            folder.write_state(self.state)

    def _api_key(self, folder: StackFolder, environ: Mapping[str, str]) -> str:
        database = Database(load_settings(environ), "up")
        try:
            access = AccessService(database)
            secret = folder.api_key()
            if secret is not None:
                try:
                    access.verify(secret)
                except Unauthorized:
                    secret = None
            if secret is None:
                _, secret = access.create("embedded stack", SCOPES)
                folder.keep_api_key(secret)
            return secret
        finally:
            database.close()

    def _environ(self, database: Server, broker: Server, kafka: Server) -> dict[str, str]:
        here = os.getcwd()
        path = os.environ.get("PYTHONPATH")
        return {
            "ENVIRONMENT": "dev",
            "FLOWER_UNAUTHENTICATED_API": "true",
            **{name: value for name, value in os.environ.items() if name not in _NOT_OURS},
            "DATABASE_URL": database.url,
            "REDIS_URL": broker.url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.url,
            "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
            "KAFKA_EPHEMERAL": "true",
            "PYTHONPATH": here if not path else f"{here}{os.pathsep}{path}",
        }

    def _programs(self, database: Server, broker: Server, kafka: Server, ports: Mapping[str, int]) -> list[Program]:
        def module(*arguments: str) -> tuple[str, ...]:
            return dying_with_parent((sys.executable, "-m", *arguments))

        worker = ("celery", "-A", "tasks.celery", "worker", "-Q", "hooks,workflows,metrics", "--concurrency", "2")
        # Its tasks wait for models all the time: threads cost little.
        lab = ("celery", "-A", "tasks.celery", "worker", "-Q", "lab", "--pool", "threads", "--concurrency", "16")
        bridge = ("celery", "-A", "bridges.celery", "worker", "-Q", "bridges", "--concurrency", "6")
        flower = ("celery", "-A", "tasks.celery", "flower", f"--address={servers.HOST}", f"--port={ports['flower']}")
        config = Path(__file__).parent.parent / "gunicorn.conf.py"
        bind = f"{servers.HOST}:{ports['http']}"
        return [
            Program("postgres", database.command, "servers", "INT"),
            Program("valkey", broker.command, "servers"),
            Program("kafka", kafka.command, "servers"),
            Program("gunicorn", module("gunicorn", "-c", str(config), "-b", bind, "webapp.wsgi:app")),
            Program("worker", module(*worker, "-n", "worker@%h")),
            Program("lab_worker", module(*lab, "-n", "lab_worker@%h")),
            Program("bridge_worker", module(*bridge, "-n", "bridge_worker@%h")),
            Program("beat", module("celery", "-A", "tasks.celery", "beat")),
            *([Program("flower", module(*flower))] if self._options.flower else []),
        ]


def _answers(url: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own loopback address
            return
    except urllib.error.HTTPError as problem:
        if problem.code >= 500:
            raise


def _ping(celery: object, name: str) -> None:
    replies = celery.control.ping(timeout=1.0)  # type: ignore[attr-defined]
    if not any(node.startswith(f"{name}@") for reply in replies for node in reply):
        raise ServerError("no answer yet")
