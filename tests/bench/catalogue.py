"""All benches, in the order in which `make bench` runs them. A new one is a module in ``benches`` and a line here."""

from __future__ import annotations

from tests.bench.benches import (
    accept,
    idle,
    ingest,
    latency,
    mirror,
    overload,
    questions,
    relay,
    soak,
    workflow_sizes,
    workflows,
)
from tests.bench.model import Bench

BENCHES: tuple[Bench, ...] = (
    accept.BENCH,
    latency.BENCH,
    mirror.BENCH,
    relay.BENCH,
    idle.BENCH,
    overload.BENCH,
    workflows.BENCH,
    workflow_sizes.BENCH,
    ingest.BENCH,
    questions.BENCH,
)
# Those that take so long that they run only when named.
LONG: tuple[Bench, ...] = (soak.BENCH,)


def named(name: str) -> Bench:
    """The bench of a name. Raises KeyError."""
    return {bench.name: bench for bench in (*BENCHES, *LONG)}[name]
