"""What the whole system sustains: what 32 connections get answered while workers and bridges work beside."""

from __future__ import annotations

import secrets
import statistics
import time

from tests.bench.load import Hooks, closed
from tests.bench.model import BenchError, Plan
from tests.bench.servers import Ground
from tests.bench.system import System

CONNECTIONS = 32
_PROBES = 3
_PROBE_S = 5.0
_SMOKE_S = 1.0
_SETTLED_WITHIN_S = 120.0
_WAITING = "SELECT count(*) FROM inbox WHERE state IN ('received', 'processing', 'retrying')"


def sustained(system: System, plan: Plan) -> tuple[float, int]:
    """The median rate of three probes, hooks a second, and how many hooks they posted in all."""
    rates: list[float] = []
    posted = 0
    for _ in range(plan.counted(_PROBES, 1)):
        hooks = Hooks(system.port, secrets.token_hex(4), system.headers)
        tally = closed(hooks, CONNECTIONS, plan.sized(_PROBE_S, _SMOKE_S))
        tally.check()
        posted += tally.accepted_in_all
        rates.append(tally.sample()["requests_per_s"])
        settle(system.ground)
    return statistics.median(rates), posted


def settle(ground: Ground) -> None:
    """Waits until every hook is at an end.

    Raises:
        BenchError: some still wait after two minutes.
    """
    deadline = time.monotonic() + _SETTLED_WITHIN_S
    while ground.number(_WAITING):
        if time.monotonic() > deadline:
            raise BenchError("hooks still wait after the load has ended")
        time.sleep(0.1)
