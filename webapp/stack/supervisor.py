"""Runs the stack's processes under supervisord: restarts what dies, keeps a log for each.

The package supervisor was chosen over honcho because honcho ends the whole group when one process ends, while a
worker killed with SIGKILL must come back by itself.
"""

from __future__ import annotations

import http.client
import os
import secrets
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webapp.stack.folder import StackFolder
from webapp.stack.servers import HOST, ServerError, dying_with_parent

MARKER = "OMNINODE_STACK"
_START_WITHIN_S = 15.0
_POLL_S = 0.05
_ENDED = ("BACKOFF", "FATAL", "EXITED")
_STARTS = 3


@dataclass(frozen=True)
class Program:
    """A process to keep running. ``group`` is what it stops with; servers stop after all others."""

    name: str
    command: tuple[str, ...]
    group: str = "apps"
    stop_signal: str = "TERM"


class _Transport(xmlrpc.client.Transport):
    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = 30
        return connection


class Supervisor:
    """A running supervisord, child of this process; it ends in order when this process dies."""

    def __init__(
        self, folder: StackFolder, port: int, programs: Sequence[Program], environ: Mapping[str, str]
    ) -> None:
        password = secrets.token_urlsafe(24)
        self._groups = {program.name: program.group for program in programs}
        self._ends: dict[str, set[int]] = {program.name: set() for program in programs}
        self._log = folder.logs / "supervisor.log"
        config = folder.path / "supervisor.conf"
        _write_config(config, folder, port, password, programs)
        command = (sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(config))
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                dying_with_parent(command),
                env={**environ, MARKER: str(folder.path)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        url = f"http://stack:{password}@{HOST}:{port}/RPC2"
        self._rpc: Any = xmlrpc.client.ServerProxy(url, transport=_Transport()).supervisor
        self._wait_until_it_answers()

    @property
    def pid(self) -> int:
        """supervisord's process id."""
        return self._popen.pid

    def start(self, name: str) -> None:
        """Starts one program, and keeps it running from now on."""
        self._rpc.startProcess(self._full_name(name), False)

    def is_running(self, name: str) -> bool:
        """Whether the program has run for a second and still does."""
        info = self._rpc.getProcessInfo(self._full_name(name))
        if info["statename"] in _ENDED:
            self._ends[name].add(info["start"])
        return bool(info["statename"] == "RUNNING")

    def has_given_up(self, name: str) -> bool:
        """Whether ``is_running`` saw the program end so often that another start would end no better."""
        return len(self._ends[name]) >= _STARTS

    def pids(self) -> dict[str, int]:
        """The process id of each program that runs, and supervisord's own."""
        found = {info["name"]: int(info["pid"]) for info in self._rpc.getAllProcessInfo() if info["pid"]}
        return {"supervisor": self.pid, **found}

    def is_alive(self) -> bool:
        """Whether supervisord itself still runs."""
        return self._popen.poll() is None

    def stop(self, within_s: float) -> bool:
        """Stops all programs, servers last, then supervisord; False where it took longer than ``within_s``."""
        if self.is_alive():
            self._popen.terminate()
        try:
            self._popen.wait(within_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(5)
            return False
        return True

    def _full_name(self, name: str) -> str:
        return f"{self._groups[name]}:{name}"

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_WITHIN_S
        while True:
            try:
                self._rpc.getState()
            except (OSError, http.client.HTTPException, xmlrpc.client.Error) as problem:
                if not self.is_alive() or time.monotonic() > deadline:
                    raise ServerError(f"The supervisor does not start.\n{log_end(self._log)}") from problem
                time.sleep(_POLL_S)
            else:
                return


def log_end(path: Path, length: int = 2000) -> str:
    """The end of a log, to show with an error."""
    if not path.exists():
        return f"({path} was not written)"
    return f"The end of {path}:\n{path.read_text(errors='replace')[-length:]}"


def _write_config(path: Path, folder: StackFolder, port: int, password: str, programs: Sequence[Program]) -> None:
    sections = [
        "[supervisord]",
        f"logfile={folder.logs / 'supervisord.log'}",
        "logfile_maxbytes=5MB",
        "logfile_backups=1",
        f"pidfile={folder.path / 'supervisord.pid'}",
        f"childlogdir={folder.logs}",
        *(["user=root"] if os.geteuid() == 0 else []),
        "[inet_http_server]",
        f"port={HOST}:{port}",
        "username=stack",
        f"password={password}",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for group, priority in (("servers", 10), ("apps", 20)):
        members = ",".join(program.name for program in programs if program.group == group)
        sections += [f"[group:{group}]", f"programs={members}", f"priority={priority}"]
    for program in programs:
        sections += [
            f"[program:{program.name}]",
            "command=" + shlex.join(program.command).replace("%", "%%"),
            "autostart=false",
            "autorestart=true",
            "startsecs=1",
            # Once the stack is up, what dies comes back, however long its trouble lasts.
            "startretries=1000000",
            f"stopsignal={program.stop_signal}",
            "stopwaitsecs=15",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={folder.logs / (program.name + '.log')}",
            "stdout_logfile_maxbytes=20MB",
            "stdout_logfile_backups=2",
        ]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(sections).replace(str(folder.path), str(folder.path).replace("%", "%%")) + "\n")
