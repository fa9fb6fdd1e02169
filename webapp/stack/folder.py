"""The folder of one embedded stack: where its data, logs, ports and state file are.

``stack.json`` (CONTRACT.md, section 6) is for scripts:
``{url, api_key, database, redis, kafka, flower_url, pids{}}``.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webapp.stack.servers import HOST, ServerError, free_port, is_free

_PORTS_WITHIN_S = 60.0
_POLL_S = 0.1
PREFERRED_PORTS = {"http": 8000, "flower": 5555, "postgres": 5433, "valkey": 6380, "kafka": 9092, "supervisor": 9901}


@dataclass(frozen=True)
class StackFolder:
    """One stack's folder, by its absolute path."""

    path: Path

    @classmethod
    def prepare(cls, path: Path) -> StackFolder:
        """Makes the folder, for its owner only (as root others may pass through: PostgreSQL is another user)."""
        folder = cls(path.resolve())
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        folder.logs.mkdir(mode=0o700, exist_ok=True)
        return folder

    def lock(self) -> int:
        """Makes this process the only one that runs a stack here, until it ends or closes the descriptor returned.

        Raises:
            ServerError: another process does already.
        """
        descriptor = os.open(self.path / "lock", os.O_WRONLY | os.O_CREAT, 0o600)
        if not _flocked(descriptor):
            os.close(descriptor)
            raise ServerError(f"Another `omninode up` is at work in {self.path}.")
        return descriptor

    @property
    def logs(self) -> Path:
        """One log for each process."""
        return self.path / "logs"

    @property
    def state_file(self) -> Path:
        """``stack.json``; there while the stack runs."""
        return self.path / "stack.json"

    @property
    def _ports_file(self) -> Path:
        return self.path / "ports.json"

    @property
    def _key_file(self) -> Path:
        return self.path / "api_key"

    def choose_ports(
        self, wanted: Mapping[str, int | None], say: Callable[[str], None] = lambda _: None
    ) -> dict[str, int]:
        """A free port for each part: the one asked for, else the last one, else the usual one, else any.

        ``say`` hears of each part that can't have its last or usual one.

        Raises:
            ServerError: a port that was asked for is taken.
        """
        remembered = _read(self._ports_file)
        ports: dict[str, int] = {}
        for name, usual in PREFERRED_PORTS.items():
            asked = wanted.get(name)
            if asked is not None and not is_free(asked):
                raise ServerError(
                    f"Port {asked} for {name} is taken by another program. End that program or choose another port."
                )
            candidates = [asked] if asked is not None else [remembered.get(name, usual), usual]
            free = [port for port in candidates if is_free(port) and port not in ports.values()]
            ports[name] = free[0] if free else free_port()
            if ports[name] != candidates[0]:
                say(f"port {candidates[0]} is taken by another program, {name} has {ports[name]} instead")
        _write(self._ports_file, ports)
        return ports

    def api_key(self) -> str | None:
        """The key that an earlier start made."""
        return self._key_file.read_text().strip() if self._key_file.exists() else None

    def keep_api_key(self, secret: str) -> None:
        """Keeps the key for the next start, readable by the owner alone."""
        _write_text(self._key_file, secret)

    def read_state(self) -> dict[str, Any]:
        """What ``stack.json`` says; empty where there is none."""
        return _read(self.state_file)

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Replaces ``stack.json`` in one step, mode 600."""
        _write(self.state_file, state)


@contextmanager
def ports_to_itself(pause: Callable[[float], object]) -> Iterator[None]:
    """Lets one stack of this machine start at a time, lest two choose the same ports before either listens on them.

    Waits for a minute at most, by calls of ``pause`` with seconds, which may raise. Where there is no lock to be had
    it goes on without.
    """
    try:
        descriptor = _open_for_all(Path(tempfile.gettempdir()) / "omninode-ports.lock")
    except OSError:
        yield
        return
    try:
        deadline = time.monotonic() + _PORTS_WITHIN_S
        while not _flocked(descriptor) and time.monotonic() < deadline:
            pause(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _open_for_all(path: Path) -> int:
    """Opens a file that any user may have made; to lock it, reading is enough."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)


def _flocked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def address(port: int) -> str:
    """The loopback URL of a port."""
    return f"http://{HOST}:{port}"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _write(path: Path, value: Mapping[str, Any]) -> None:
    _write_text(path, json.dumps(value, indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
