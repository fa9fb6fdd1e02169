"""Gunicorn's configuration: two processes of eight threads, JSON logs, telemetry shared by the processes.

Read by ``gunicorn -c webapp/gunicorn.conf.py webapp.wsgi:app``; options of the command line and of
``GUNICORN_CMD_ARGS``, such as ``--bind``, go before what stands here. Each worker makes its own application, so
nothing that can't survive a fork exists before it.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

_TELEMETRY = "PROMETHEUS_MULTIPROC_DIR"

worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 8
preload_app = False
backlog = 2048
keepalive = 15
timeout = 30
graceful_timeout = 15
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
forwarded_allow_ips = "127.0.0.1"
accesslog = None
proc_name = "omninode-web"
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger", "message": "event"},
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
        "gunicorn.access": {"level": "INFO", "handlers": [], "propagate": True},
    },
}


def on_starting(server: Any) -> None:
    """Gives the workers to come an empty folder for their counters: files of an earlier start would count twice."""
    folder = os.environ.get(_TELEMETRY)
    if folder is None:
        server.telemetry_folder = os.environ[_TELEMETRY] = tempfile.mkdtemp(prefix="omninode-telemetry-")
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    for stale in Path(folder).glob("*.db"):
        stale.unlink()


def child_exit(_server: Any, worker: Any) -> None:
    """Forgets the gauges of a worker that ended; its counters stay in the sums."""
    from prometheus_flask_exporter.multiprocess import GunicornPrometheusMetrics

    GunicornPrometheusMetrics.mark_process_dead_on_child_exit(worker.pid)


def on_exit(server: Any) -> None:
    """Removes the folder that ``on_starting`` made."""
    folder = getattr(server, "telemetry_folder", None)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
