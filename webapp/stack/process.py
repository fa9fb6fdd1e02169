"""Starts one server as a child of this process and waits until it answers: for tests and benches.

The embedded stack itself runs its servers under a supervisor instead.
"""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import psutil

from webapp.stack.servers import Server, ServerError

_POLL_S = 0.02
_LOG_END = 2000


class ServerProcess:
    """A started server. It dies with this process."""

    def __init__(self, server: Server, log_path: Path, ready_within_s: float = 30.0) -> None:
        self.server = server
        self.log_path = log_path
        self._ready_within_s = ready_within_s
        self._popen = self._start()

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._popen.pid

    def kill(self) -> None:
        """Ends it at once (SIGKILL), as a crash would."""
        self._popen.kill()
        self._popen.wait(10)

    def stop(self) -> None:
        """Asks it to end (SIGINT, PostgreSQL's fast shutdown), and kills it after 10 s."""
        if self._popen.poll() is None:
            self.resume()
            self._popen.send_signal(signal.SIGINT)
            try:
                self._popen.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def restart(self) -> None:
        """Starts it anew on the same port and data, after ``kill`` or ``stop``."""
        self.stop()
        self._popen = self._start()

    def pause(self) -> None:
        """Freezes it and its children (SIGSTOP): it accepts connections and answers nothing."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on (SIGCONT)."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        process = psutil.Process(self.pid)
        for each in (process, *process.children(recursive=True)):
            try:
                each.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            popen = subprocess.Popen(
                self.server.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + self._ready_within_s
        while True:
            try:
                self.server.probe()
            except Exception as problem:
                if popen.poll() is not None or time.monotonic() > deadline:
                    popen.kill()
                    raise ServerError(
                        f"{self.server.name} does not start ({problem}). The end of {self.log_path}:\n"
                        + self.log_path.read_text(errors="replace")[-_LOG_END:]
                    ) from problem
                time.sleep(_POLL_S)
            else:
                return popen
