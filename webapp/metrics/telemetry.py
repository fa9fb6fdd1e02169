"""Numbers about what is recorded, for Prometheus."""

from __future__ import annotations

from flask import Flask, current_app
from prometheus_client import CollectorRegistry, Counter

_KEY = "bridge-metrics-counter"


def install(app: Flask, registry: CollectorRegistry) -> None:
    """Counts in ``registry`` what becomes of the executions and points that ``app`` is sent."""
    app.extensions[_KEY] = Counter(
        "omninode_metrics_received", "Executions and OTLP points that were sent, by outcome.", ["outcome"],
        registry=registry,
    )  # fmt: skip


def count(recorded: int, duplicates: int, refused: int) -> None:
    """Counts one batch."""
    counter: Counter = current_app.extensions[_KEY]
    for outcome, number in (("recorded", recorded), ("duplicate", duplicates), ("refused", refused)):
        if number:
            counter.labels(outcome).inc(number)
