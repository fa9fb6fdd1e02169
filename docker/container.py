"""Runs roles of the image under buildah, beside each other on this machine's own network, and ends them by pid."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

_POLL_S = 0.05
_OF_BUILDAH = ("buildah", "buildah-chroot-runtime", "buildah-chroot-exec")


class Failed(Exception):
    """The image does not do what it should; the text says what, with the end of the log."""


class Role:
    """One process of the image that runs until it is ended."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._popen = popen

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    def terminate(self, within_s: float) -> tuple[int, float]:
        """Sends SIGTERM to the process in the image, not to buildah; returns its exit status and the seconds.

        Raises:
            Failed: it was not gone in time; it is killed then.
        """
        main = self._main_process()
        started = time.monotonic()
        main.terminate()
        try:
            status = self._popen.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} still ran {within_s:.0f} s after SIGTERM\n{self.log_end()}") from None
        return status, time.monotonic() - started

    def kill(self) -> None:
        """Ends it and all its children at once; harmless when it is gone."""
        if self.is_running():
            for process in reversed(psutil.Process(self._popen.pid).children(recursive=True)):
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            self._popen.kill()
        self._popen.wait(10)

    def log_end(self) -> str:
        """The end of what it wrote."""
        return self.log.read_text(errors="replace")[-3000:]

    def _main_process(self) -> psutil.Process:
        """The first process under buildah's own: what the entrypoint has become."""
        for process in psutil.Process(self._popen.pid).children(recursive=True):
            if not any(Path(word).name in _OF_BUILDAH for word in process.cmdline()[:1]):
                return process
        raise Failed(f"{self.name} has no process\n{self.log_end()}")


class Container:
    """A working container of the image. Its roles share its files and this machine's network."""

    def __init__(self, home: Path, image: str, environ: Mapping[str, str], secrets: Path) -> None:
        storage = ("--storage-driver", "vfs", "--root", str(home / "storage"), "--runroot", str(home / "run"))
        self._buildah = ("buildah", *storage)
        self._environ = [word for name, value in environ.items() for word in ("--env", f"{name}={value}")]
        self._secrets = secrets
        self.config: dict[str, Any] = json.loads(self._ask("inspect", "--type", "image", image))["Docker"]["config"]
        self._name = self._ask("from", "--pull-never", image).strip()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self._ask("rm", self._name)

    def run(self, command: Sequence[str], within_s: float = 60) -> str:
        """Runs ``command`` to its end; returns what it printed.

        Raises:
            Failed: its exit status is not 0.
        """
        done = subprocess.run(
            self._command(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-3000:]}")
        return done.stdout

    def start(self, role: str, log: Path, *options: str) -> Role:
        """Starts a role as the image's own entrypoint does."""
        entrypoint = self.config["Entrypoint"]
        with log.open("wb") as out:
            return Role(role, self._spawn([*entrypoint, role, *options], out), log)

    def _spawn(self, command: Sequence[str], out: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command(command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )

    def _command(self, command: Sequence[str]) -> list[str]:
        mount = f"{self._secrets}:/run/secrets:ro"
        run = ["run", "--isolation", "chroot", "--volume", mount, *self._environ]
        return [*self._buildah, *run, self._name, "--", *command]

    def _ask(self, *words: str) -> str:
        done = subprocess.run([*self._buildah, *words], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise Failed(f"buildah {words[0]}: {done.stderr[-2000:]}")
        return done.stdout


def until(what: str, condition: Callable[[], bool], within_s: float, role: Role | None = None) -> float:
    """Waits until ``condition()`` is true; returns the seconds.

    Raises:
        Failed: it took longer than ``within_s``, or ``role`` ended before.
    """
    started = time.monotonic()
    while not condition():
        if role is not None and not role.is_running():
            raise Failed(f"{role.name} ended by itself\n{role.log_end()}")
        if time.monotonic() - started > within_s:
            raise Failed(f"{what}: not within {within_s:.0f} s\n{role.log_end() if role else ''}")
        time.sleep(_POLL_S)
    return time.monotonic() - started


def image_home() -> Path:
    """Where ``build.sh`` keeps the image."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("IMAGE_HOME") or Path(cache) / "omninode-bridge" / "image")
