"""Sends hints: messages that only say "look at your rows", and may be lost.

A hint never fails its sender and never holds it up for more than half a second, whether Redis is there, gone, or
accepts connections and hangs. The sweepers send again what got lost.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool
from pybreaker import CircuitBreaker, CircuitBreakerError
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.queue.configuration import SWIFT
from tasks.queue.nudges import nudge

log = logging.getLogger(__name__)

_CIRCUIT_RESET_S = 5
_SURELY_NOT_SENT_S = 0.05
_CONNECTIONS = 16
_FAILURES = (OperationalError, redis.RedisError, OSError)


class HintSender:
    """Publishes hints of one app over connections of its own with short timeouts, behind a circuit breaker."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._pid = 0

    @property
    def paused(self) -> bool:
        """Whether Redis failed a moment ago, and hints of this process are dropped."""
        return self._pid == os.getpid() and self._circuit.current_state == "open"

    def still_paused(self, job: str) -> bool:
        """As ``paused``; where it is time to try again, a nudge of ``job`` finds out. For who must know while nobody
        sends hints: a circuit closes by being used alone."""
        if self.paused:
            self.nudge(job)
        return self.paused

    def send(self, task_name: str, args: Sequence[Any], queue: str, priority: int | None = None) -> bool:
        """Publishes one message, once; ``priority``: Celery's, 0 the most urgent. False when Redis did not take it in
        time, or the circuit is open."""
        return self._guarded(task_name, lambda: self._publish(task_name, args, queue, priority))

    def nudge(self, job: str, *others: str) -> bool:
        """Wakes who listens for ``job``, and for ``others``. False where nobody does for ``job``, or as ``send``."""
        heard: list[bool] = []
        return self._guarded(job, lambda: heard.append(nudge(self._client, job, *others))) and heard[0]

    def _guarded(self, task_name: str, act: Callable[[], None]) -> bool:
        if self._pid != os.getpid():
            self._begin()
        was_open = self._circuit.current_state != "closed"
        try:
            self._circuit.call(act)
        except CircuitBreakerError as problem:
            # pybreaker raises this for the call that opens the circuit, too.
            if not was_open:
                log.warning("hints-paused", extra={"task_name": task_name, "error": repr(problem.__context__)})
            return False
        except _FAILURES as problem:
            log.warning("hint-not-sent", extra={"task_name": task_name, "error": repr(problem)})
            return False
        if was_open:
            log.info("hints-resumed")
        return True

    def _begin(self) -> None:
        self._circuit = CircuitBreaker(fail_max=1, reset_timeout=_CIRCUIT_RESET_S, name="hints")
        connection = self._app.connection_for_write(transport_options=SWIFT)
        self._producers = ProducerPool(connection.Pool(_CONNECTIONS), limit=_CONNECTIONS)
        self._client = redis.Redis.from_url(
            self._app.conf.broker_url,
            socket_connect_timeout=SWIFT["socket_connect_timeout"],
            socket_timeout=SWIFT["socket_timeout"],
            retry=Retry(NoBackoff(), 1),
        )
        self._pid = os.getpid()

    def _publish(self, task_name: str, args: Sequence[Any], queue: str, priority: int | None) -> None:
        began = time.monotonic()
        try:
            self._publish_once(task_name, args, queue, priority)
        except (OperationalError, OSError):
            # A connection that died while it idled fails at once; one more try opens a new one.
            if time.monotonic() - began > _SURELY_NOT_SENT_S:
                raise
            self._publish_once(task_name, args, queue, priority)

    def _publish_once(self, task_name: str, args: Sequence[Any], queue: str, priority: int | None) -> None:
        with self._producers.acquire(block=True) as producer:
            self._app.send_task(
                task_name,
                args=list(args),
                queue=queue,
                priority=priority,
                producer=producer,
                retry=False,
                ignore_result=True,
            )


def send_hint(app: Celery, task_name: str, args: Sequence[Any], queue: str, priority: int | None = None) -> bool:
    """Tells a worker of ``queue`` to run ``task_name(*args)``; returns whether Redis took the message.

    ``priority`` is Celery's, 0 the most urgent. Never raises because of Redis and takes at most about half a second;
    after a failure the process's hints are dropped at once for 5 s. For messages whose loss a sweeper makes good, and
    for no others.
    """
    return hint_sender(app).send(task_name, args, queue, priority)


def hint_sender(app: Celery) -> HintSender:
    """The sender that ``create_celery`` put on a Celery app."""
    sender = getattr(app, "bridge_hints", None)
    if not isinstance(sender, HintSender):
        raise TypeError("this Celery app was not made by tasks.queue.app.create_celery")
    return sender
