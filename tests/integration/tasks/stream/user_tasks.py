"""A user's own tasks, as OMNINODE_IMPORTS brings them: one for each way a task can go."""

from __future__ import annotations

import os
import signal
import threading
import time

from celery import Celery, Task, current_app, shared_task
from celery.exceptions import Ignore, Reject


class OwnTask(Task):
    """A base class of the user's own."""


@shared_task(name="user.add")
def add(a: int, b: int) -> int:
    return a + b


@shared_task(name="user.own_base", base=OwnTask)
def own_base() -> None:
    pass


@shared_task(name="user.fail")
def fail(text: str) -> None:
    raise ValueError(text)


class Unpicklable(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")
        self.lock = threading.Lock()


@shared_task(name="user.fail_oddly")
def fail_oddly() -> None:
    raise Unpicklable("this", "that")


@shared_task(name="user.flaky", bind=True, max_retries=5)
def flaky(self: Task, times: int) -> None:
    if self.request.retries < times:
        raise self.retry(exc=RuntimeError("not yet"), countdown=0)


@shared_task(name="user.kill_me")
def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="user.kill_once", bind=True)
def kill_once(self: Task) -> None:
    if not self.request.delivery_info.get("redelivered"):
        os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="user.nap")
def nap(seconds: float) -> None:
    time.sleep(seconds)


@shared_task(name="user.early", acks_late=False)
def early() -> None:
    pass


@shared_task(name="user.too_long", time_limit=1)
def too_long() -> None:
    time.sleep(30)


@shared_task(name="user.ignore")
def ignore() -> None:
    raise Ignore


@shared_task(name="user.reject")
def reject() -> None:
    raise Reject("not for me", requeue=False)


@shared_task(name="user.not_now", bind=True)
def not_now(self: Task, times: int) -> None:
    client = self.app.bridge.redis()
    if client.incr(f"not-now:{self.request.id}") <= times:
        raise Reject("not now", requeue=True)


@shared_task(name="user.parent", bind=True)
def parent(self: Task) -> None:
    app: Celery = self.app or current_app
    app.send_task("user.add", args=[1, 2])


@shared_task(name="user.replace", bind=True)
def replace(self: Task) -> None:
    raise self.replace(add.s(1, 2))
