"""The workflows' numbers for Prometheus: runs that have not ended, and the steps that the clock looks at."""

from __future__ import annotations

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from tasks.workflows.states import RUN, STEP
from webapp.services import Services

_OPEN_RUNS = tuple(state for state in RUN.states if not RUN.is_terminal(state))
_DUE_STEPS = tuple(state for state in STEP.states if not STEP.is_terminal(state) and state != STEP.initial)


def gauges(services: Services) -> list[Metric]:
    """What is so now; a state in which nothing is, is 0. Raises DatabaseUnavailable, DatabaseBusy."""
    stats = services.workflows.reading.stats()
    runs = GaugeMetricFamily("omninode_workflow_runs", "Runs that have not ended, by state.", labels=["state"])
    for state in _OPEN_RUNS:
        runs.add_metric([state], stats["runs"].get(state, 0))
    steps = GaugeMetricFamily(
        "omninode_workflow_steps", "Steps that are at work, or due at some time, by state.", labels=["state"]
    )
    for state in _DUE_STEPS:
        steps.add_metric([state], stats["steps"].get(state, 0))
    return [runs, steps]
