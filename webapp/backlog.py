"""Reads what waits in PostgreSQL as Prometheus gauges: at most once in a few seconds, whoever scrapes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

import redis
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.db.queries import Queries
from tasks.errors import BridgeError
from tasks.hooks.shift import BATCH_ROWS
from tasks.queue.telemetry import told
from webapp.health.relays import relay_of
from webapp.lab import telemetry as lab
from webapp.services import Services
from webapp.workflows import telemetry as workflows

log = logging.getLogger(__name__)

QUERIES = Queries("webapp", "backlog.sql")
_FRESH_S = 3.0
_STATEMENT_MS = 1000
_REDIS_S = 0.25


class BacklogCollector(Collector):
    """The gauges of one application. Without PostgreSQL it tells only that: ``omninode_postgresql_up 0``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._relay_service = relay_of(services)
        self._redis = redis.Redis.from_url(
            services.settings.redis_url,
            socket_connect_timeout=_REDIS_S,
            socket_timeout=_REDIS_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._last: list[Metric] = []

    def describe(self) -> Iterable[Metric]:
        """Nothing: so that registering it asks nothing of PostgreSQL."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The gauges, at most three seconds old."""
        with self._lock:
            if self._read_at is None or time.monotonic() - self._read_at > _FRESH_S:
                self._last = self._read()
                self._read_at = time.monotonic()
            return self._last

    def _read(self) -> list[Metric]:
        up = GaugeMetricFamily("omninode_postgresql_up", "Whether PostgreSQL answered the last time it was asked.")
        try:
            found = [*self._inbox(), *self._relay(), *self._tasks(), *self._metrics(), *self._workers()]
            found += [*lab.gauges(self._services), *workflows.gauges(self._services)]
        except BridgeError as problem:
            log.warning("backlog-unreadable", extra={"code": problem.code})
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, *found]

    def _inbox(self) -> list[Metric]:
        stats = self._services.hooks.stats()
        inbox = GaugeMetricFamily("omninode_inbox_hooks", "Hooks that are not handled, by state.", labels=["state"])
        for state, count in stats["states"].items():
            inbox.add_metric([state], count)
        oldest = GaugeMetricFamily(
            "omninode_inbox_oldest_received_seconds", "Age of the oldest hook that no worker has claimed."
        )
        oldest.add_metric([], stats["oldest_received_s"])
        overloaded = GaugeMetricFamily("omninode_overloaded", "Whether hooks of low priority are refused now.")
        overloaded.add_metric([], self._services.admission.overload is not None)
        return [inbox, oldest, overloaded]

    def _metrics(self) -> list[Metric]:
        rows = GaugeMetricFamily("omninode_metrics_waiting_rows", "Recorded rows that the rollups do not hold yet.")
        rows.add_metric([], self._services.metrics.backlog()["rows"])
        return [rows]

    def _workers(self) -> list[Metric]:
        try:
            rows = told(self._redis, BATCH_ROWS)
        except redis.RedisError:
            return []
        batch = GaugeMetricFamily("omninode_hook_batch_rows", "Hooks that a worker claimed at once, lately.")
        if rows is not None:
            batch.add_metric([], rows)
        return [batch]

    def _relay(self) -> list[Metric]:
        status = self._relay_service.status()
        return [
            _of_sink("omninode_journal_lag_rows", "Journal rows that a sink has not passed.", status["lag_rows"]),
            _of_sink("omninode_journal_lag_seconds", "Age of the oldest such row.", status["lag_s"]),
            _of_sink("omninode_relay_sent_rows", "Journal rows that the sink has taken.", status["sent_rows"]),
            _of_sink(
                "omninode_relay_dead_letters",
                "Journal rows that went to a dead letter topic.",
                status["dead_letters"],
            ),
        ]

    def _tasks(self) -> list[Metric]:
        tasks = GaugeMetricFamily("omninode_open_tasks", "Celery tasks without an end, by state.", labels=["state"])
        with self._services.runtime.db.transaction(statement_timeout_ms=_STATEMENT_MS) as tx:
            for row in tx.all(QUERIES["open_tasks"]):
                tasks.add_metric([row["state"]], row["count"])
            late_s = (tx.one(QUERIES["schedules_late"]) or {}).get("late_s", 0.0)
        late = GaugeMetricFamily("omninode_schedules_late_seconds", "How late the tick is that waits longest.")
        late.add_metric([], late_s)
        return [tasks, late]


def _of_sink(name: str, documentation: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(name, documentation, labels=["sink"])
    gauge.add_metric(["kafka"], value)
    return gauge
