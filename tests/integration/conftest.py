"""Real Celery processes on the session's servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.settings import Settings
from tests.lab_server import LabServer

ROOT = Path(__file__).parent.parent.parent


def wait_until(
    condition: Callable[[], Any], seconds: float = 30.0, what: str | Callable[[], str] = "the condition"
) -> Any:
    """Returns what ``condition`` returns as soon as that is true; fails after ``seconds`` with ``what`` it was."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            awaited = what if isinstance(what, str) else what()
            raise AssertionError(f"{awaited} did not come true within {seconds:g} s; last: {value!r}")
        time.sleep(0.02)


class CeleryProcess:
    """One ``celery …`` process, its output in a file."""

    def __init__(self, arguments: Sequence[str], environ: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", *arguments],
                cwd=ROOT,
                env=environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The main process."""
        return self.process.pid

    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, seconds: float = 30.0) -> None:
        """Waits until ``text`` is in the output."""

        def there() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the process ended with {self.process.returncode}:\n{self.output()[-4000:]}")
            return text in self.output()

        wait_until(there, seconds, f"{text!r} in the log:\n{self.output()[-4000:]}")

    def kill(self) -> None:
        """Kills it and its children at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self, seconds: float = 20.0) -> None:
        """Asks it to stop, as a supervisor does; kills it when it does not."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()


class CeleryProcesses:
    """Starts workers and beats for one test."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._folder = folder
        self._started: list[CeleryProcess] = []
        self._environ = {
            **os.environ,
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "ENVIRONMENT": "test",
            "PYTHONPATH": str(ROOT),
        }

    def worker(
        self,
        *queues: str,
        app: str = "tasks.celery",
        concurrency: int = 2,
        pool: str = "prefork",
        wait: bool = True,
        **environ: str,
    ) -> CeleryProcess:
        """A worker of ``queues`` that is ready for messages."""
        arguments = ["-A", app, "worker", "-Q", ",".join(queues), "-c", str(concurrency), "-P", pool]
        arguments += ["-n", f"w{len(self._started)}@%h", "--without-mingle", "--without-gossip"]
        process = self._start(arguments, environ)
        if wait:
            process.wait_for(" ready.")
        return process

    def beat(self, **environ: str) -> CeleryProcess:
        """A beat."""
        return self._start(["-A", "tasks.celery", "beat"], environ)

    def close(self) -> None:
        """Ends all of them, at once: what they hold goes with the test."""
        for process in self._started:
            process.kill()

    def _start(self, arguments: Sequence[str], environ: dict[str, str]) -> CeleryProcess:
        log = self._folder / f"celery-{len(self._started)}.log"
        process = CeleryProcess(arguments, {**self._environ, **environ}, log)
        self._started.append(process)
        return process


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    """A pool on the test's own database."""
    database = Database(settings, "test")
    yield database
    database.close()


@pytest.fixture
def lab_server() -> Iterator[LabServer]:
    """A server of models, with none yet."""
    server = LabServer().start()
    yield server
    server.stop()


@pytest.fixture
def celery_processes(settings: Settings, tmp_path: Path) -> Iterator[CeleryProcesses]:
    """Starts Celery processes on the test's servers; they end with the test."""
    processes = CeleryProcesses(settings, tmp_path)
    yield processes
    processes.close()
