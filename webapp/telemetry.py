"""Numbers about ourselves for Prometheus, at ``/metrics``: the requests of every process, and what waits.

Under gunicorn the processes share files in ``PROMETHEUS_MULTIPROC_DIR`` (webapp/gunicorn.conf.py makes it); without
that variable the numbers are this process's own. ``webapp.backlog`` reads the gauges.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Request, Response, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_flask_exporter import PrometheusMetrics
from prometheus_flask_exporter.multiprocess import GunicornPrometheusMetrics

from webapp.auth import public, unlimited
from webapp.backlog import BacklogCollector
from webapp.services import of

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_PREFIX = "omninode"
_READS = 20
_READ_AGAIN_S = 0.01
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Telemetry:
    """The numbers of one application's requests, for those that meet no Flask."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

    def observer(self, method: str, rule: str, status: int) -> Callable[[float], None]:
        """Counts one request, and how many seconds it took, as the exporter counts its own."""
        # The exporter keeps its metrics to itself, and a second one of the same name is refused.
        known: dict[str, Any] = self.registry._names_to_collectors
        duration = known[f"{_PREFIX}_http_request_duration_seconds"].labels(method, rule, status)
        total = known[f"{_PREFIX}_http_request_total"].labels(method, status)

        def observe(seconds: float) -> None:
            duration.observe(seconds)
            total.inc()

        return observe


def install(app: Flask) -> Telemetry:
    """Counts and times the requests of ``app`` by rule, and serves ``/metrics``."""
    own = CollectorRegistry()
    kind = GunicornPrometheusMetrics if _many_processes() else PrometheusMetrics
    app.before_request(_overlook_odd_methods)
    kind(app, path=None, registry=own, group_by=rule, defaults_prefix=_PREFIX, buckets=_BUCKETS)
    backlog = CollectorRegistry()
    backlog.register(BacklogCollector(of(app)))
    blueprint = Blueprint("telemetry", __name__)

    @blueprint.get("/metrics")
    @public
    @unlimited
    def metrics() -> Response:
        """The numbers, in Prometheus' text format."""
        request.prom_do_not_track = True  # type: ignore[attr-defined]  # the exporter's mark
        requests = of_all_processes() if _many_processes() else generate_latest(own)
        return Response(requests + generate_latest(backlog), content_type=_CONTENT_TYPE)

    app.register_blueprint(blueprint)
    return Telemetry(own)


def of_all_processes() -> bytes:
    """The requests of every process, from the files that they share.

    A process that begins makes its file, and a moment later gives it its size; between the two it can't be read.
    """
    for _ in range(_READS - 1):
        try:
            return _read_files()
        except struct.error:
            time.sleep(_READ_AGAIN_S)
    return _read_files()


def _read_files() -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def rule(of_request: Request) -> str:
    """The rule that a request met: there are few of them, while paths are the callers' to choose."""
    return of_request.url_rule.rule if of_request.url_rule else "none"


def _many_processes() -> bool:
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ


def _overlook_odd_methods() -> None:
    """A method is a label, and callers may make up any number of them."""
    if request.method not in _METHODS:
        request.prom_do_not_track = True  # type: ignore[attr-defined]
