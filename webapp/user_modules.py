"""Which tasks, kinds, queues, connections and secrets a definition may name: what the user's modules register."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from celery import Celery

from tasks.settings import Settings
from tasks.workflows.definition.context import Known
from tasks.workflows.known import known

log = logging.getLogger(__name__)


def knower(celery: Celery, settings: Settings) -> Callable[[], Known]:
    """What tells which of them exist. It imports the modules of ``OMNINODE_IMPORTS`` when it is first asked, as a
    worker does when it starts; kinds register themselves with that.

    Where one of them can't be imported, tasks are not checked: the log says why, and a worker would say it too.
    """
    lock = threading.Lock()
    told: list[Known] = []

    def tell() -> Known:
        with lock:
            if not told:
                told.append(_known(celery, settings))
            return told[0]

    return tell


def _known(celery: Celery, settings: Settings) -> Known:
    try:
        celery.loader.import_default_modules()
    except Exception:
        log.exception("user-modules-not-imported")
        return replace(known(settings), tasks=None)
    return known(settings)
