"""Sets up logging: one JSON object a line on standard error.

A log call names a static event and gives identifiers in ``extra``; this module adds the time, the role of the
process, its pid and the correlation id. Secrets are never logged.
"""

from __future__ import annotations

import logging
import os
import sys

from pythonjsonlogger.json import JsonFormatter

from tasks import correlation
from tasks.settings import Settings

_JSON_FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s"
_TEXT_FIELDS = "%(asctime)s %(levelname)-7s %(role)s[%(process)d] %(name)s: %(message)s"


class _Context(logging.Filter):
    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def filter(self, record: logging.LogRecord) -> bool:
        record.role = self._role
        record.pid = os.getpid()
        bound = correlation.current()
        if bound is not None:
            record.correlation_id = bound
        return True


def configure_logging(settings: Settings, role: str) -> None:
    """Replaces the root logger's handlers by one that writes lines in ``settings.log_format``.

    ``role`` says which process this is (web, worker, bridge, beat, cli).
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Context(role))
    if settings.log_format == "json":
        renamed = {"asctime": "time", "levelname": "level", "name": "logger", "message": "event"}
        handler.setFormatter(JsonFormatter(_JSON_FIELDS, rename_fields=renamed))
    else:
        handler.setFormatter(logging.Formatter(_TEXT_FIELDS))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for noisy in ("kafka", "urllib3", "amqp"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
