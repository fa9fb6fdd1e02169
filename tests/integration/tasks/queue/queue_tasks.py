"""Tasks that show what happens inside a worker."""

from __future__ import annotations

import logging

from celery import Task, shared_task

from tasks.queue import shutdown

log = logging.getLogger(__name__)


@shared_task(name="queue.says")
def says(word: str) -> None:
    log.info("said", extra={"word": word})


@shared_task(name="queue.fails")
def fails(password: str) -> None:
    raise RuntimeError("no")


@shared_task(name="queue.waits_for_shutdown", bind=True)
def waits_for_shutdown(self: Task) -> None:
    client = self.app.bridge.redis()
    client.set("waits", "begun")
    client.set("waits", "told" if shutdown.wait(10) else "not told")
