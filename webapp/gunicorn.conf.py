"""Gunicorn's configuration: two processes of greenlets, our log lines and errors, telemetry shared by the processes.

Read by ``gunicorn -c webapp/gunicorn.conf.py webapp.wsgi:app``; options of the command line and of
``GUNICORN_CMD_ARGS``, such as ``--bind``, go before what stands here. Each worker makes its own application, so
nothing that can't survive a fork exists before it. The main process must not import ``webapp``: prometheus_client
decides at its import, by the variable that ``when_ready`` sets, whether its numbers are shared.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gunicorn.glogging import Logger
from gunicorn.util import write_nonblock
from gunicorn.workers.ggevent import GeventWorker

from tasks import correlation
from tasks.errors import SettingsError
from tasks.logs import configure_logging
from tasks.settings import load_settings

_TELEMETRY = "PROMETHEUS_MULTIPROC_DIR"
_EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h


class ServerLog(Logger):
    """Writes gunicorn's own events as ours are written. Requests are logged only where ``--access-logfile`` asks."""

    def setup(self, cfg: Any) -> None:
        """Ends the process with a list of what is wrong where the settings are not usable."""
        try:
            settings = load_settings()
        except SettingsError as problem:
            sys.stderr.write(f"{problem}\n")
            sys.exit(_EXIT_CONFIG)
        super().setup(cfg)
        configure_logging(settings, "web")
        if cfg.errorlog == "-":
            self.error_log.handlers.clear()
            self.error_log.propagate = True


_REFUSED = {
    400: "The request is not valid HTTP.",
    414: "The request line is longer than this server reads.",
    417: "The server does not do what the header Expect asks for.",
    431: "There are more headers, or longer ones, than this server reads.",
    500: "The server failed to handle this request; its log tells more under the correlation id.",
    501: "The server does not know this transfer coding.",
}


class _ProblemWriter:
    """Stands in for the socket of a client to whom gunicorn writes an error in HTML: sends its status as RFC 9457
    ``application/problem+json`` instead, without what the client sent."""

    def __init__(self, client: Any, path: str) -> None:
        self._client = client
        self._path = path

    def gettimeout(self) -> float:
        """That of a socket which does not block."""
        return 0.0

    def sendall(self, page: bytes) -> None:
        """Sends the problem in place of ``page``. Raises OSError as a socket's."""
        _version, code, title = page.partition(b"\r\n")[0].decode("latin1").split(" ", 2)
        status = int(code)
        problem = {
            "type": f"urn:omninode-bridge:problem:HTTP_{status}",
            "title": title,
            "status": status,
            "detail": _REFUSED.get(status, title),
            "instance": self._path,
            "code": f"HTTP_{status}",
            "errors": [],
        }
        body = json.dumps(problem).encode()
        head = (
            f"HTTP/1.1 {status} {title}",
            "Connection: close",
            "Content-Type: application/problem+json",
            f"Content-Length: {len(body)}",
            f"X-Correlation-ID: {correlation.accept(correlation.current())}",
        )
        write_nonblock(self._client, "\r\n".join([*head, "", ""]).encode("latin1") + body)


class ProblemWorker(GeventWorker):  # type: ignore[misc] # gunicorn has no types
    """Answers what gunicorn refuses by itself, before any application sees it, as everything else is answered."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Logs as gunicorn does, and sends a problem in place of a page."""
        path = quote(getattr(req, "path", None) or "/", safe="/:@!$&'()*+,;=~-._")
        super().handle_error(req, _ProblemWriter(client, path), addr, exc)


logger_class = ServerLog
# Requests wait most of their time, for one commit that many share. As greenlets they do so at a fraction of what
# threads cost here (2,200 against 1,100 requests/s on two cores), and psycopg2 waits through tasks.db.deadline.
worker_class = ProblemWorker
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_connections = 1000
preload_app = False
keepalive = 15
timeout = 30
# Idle connections are waited for, too; no request takes longer than two seconds.
graceful_timeout = 5
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
proc_name = "omninode-web"
# It lies in the home folder: two servers of one user would quarrel over it, and not every user has a home.
control_socket_disable = True


def when_ready(server: Any) -> None:
    """Gives the workers to come an empty folder for their counters: files of an earlier start would count twice."""
    folder = os.environ.get(_TELEMETRY)
    if folder is None:
        server.telemetry_folder = os.environ[_TELEMETRY] = tempfile.mkdtemp(prefix="omninode-telemetry-")
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    for stale in Path(folder).glob("*.db"):
        stale.unlink()


def post_worker_init(_worker: Any) -> None:
    """Spares the collector the look at what stays for ever: the application and all that it has imported."""
    gc.collect()
    gc.freeze()


def child_exit(_server: Any, worker: Any) -> None:
    """Forgets the live gauges of a worker that ended; what it counted stays in the sums."""
    folder = os.environ.get(_TELEMETRY)
    for stale in Path(folder).glob(f"gauge_live*_{worker.pid}.db") if folder else ():
        stale.unlink(missing_ok=True)


def on_exit(server: Any) -> None:
    """Removes the folder that ``when_ready`` made."""
    folder = getattr(server, "telemetry_folder", None)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
