"""The lab's numbers for Prometheus: endpoints with their health, circuit and calls, and what waits for workers."""

from __future__ import annotations

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from tasks.lab.model import CIRCUIT_STATES
from webapp.services import Services


def gauges(services: Services) -> list[Metric]:
    """What is so now. Raises DatabaseUnavailable, DatabaseBusy."""
    label = ["endpoint"]
    up = GaugeMetricFamily("omninode_lab_endpoint_up", "Whether the last health check was good.", labels=label)
    calls = GaugeMetricFamily("omninode_lab_calls", "Calls under way at an endpoint.", labels=label)
    limit = GaugeMetricFamily("omninode_lab_calls_limit", "How many there may be at once.", labels=label)
    circuit = GaugeMetricFamily("omninode_lab_circuit", "1 for the circuit's state.", labels=[*label, "state"])
    for row in services.lab.endpoints.list():
        name = [row["name"]]
        up.add_metric(name, row["state"] == "healthy")
        limit.add_metric(name, row["max_concurrency"])
        if row["calls"] is not None:
            calls.add_metric(name, row["calls"])
        for state in CIRCUIT_STATES:
            circuit.add_metric([row["name"], state], row["circuit"] == state)
    questions = GaugeMetricFamily(
        "omninode_lab_questions", "Carried questions that have not ended, by state.", labels=["state"]
    )
    for state, count in services.carried.counts().items():
        questions.add_metric([state], count)
    return [up, calls, limit, circuit, questions]
