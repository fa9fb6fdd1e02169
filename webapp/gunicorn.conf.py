"""Gunicorn's configuration: two processes of greenlets, our log lines, telemetry shared by the processes.

Read by ``gunicorn -c webapp/gunicorn.conf.py webapp.wsgi:app``; options of the command line and of
``GUNICORN_CMD_ARGS``, such as ``--bind``, go before what stands here. Each worker makes its own application, so
nothing that can't survive a fork exists before it. The main process must not import ``webapp``: prometheus_client
decides at its import, by the variable that ``when_ready`` sets, whether its numbers are shared.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

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


logger_class = ServerLog
# Requests wait most of their time, for one commit that many share. As greenlets they do so at a fraction of what
# threads cost here (2,200 against 1,100 requests/s on two cores), and psycopg2 waits through tasks.db.deadline.
worker_class = "gevent"
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
