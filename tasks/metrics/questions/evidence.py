"""What is known of one model: enough to compare, score and recommend it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tasks.metrics.statistics.moments import Moments
from tasks.metrics.statistics.proportions import Proportion


@dataclass(frozen=True)
class Evidence:
    """A model's executions in one window. ``log_latency`` is of the logarithms of milliseconds, ``cost`` in USD of
    the executions whose cost is known; ``unpriced_count`` have none.
    """

    model: str
    outcomes: Proportion = field(default_factory=Proportion)
    log_latency: Moments = field(default_factory=Moments)
    p50_ms: float | None = None
    p95_ms: float | None = None
    quality: Moments = field(default_factory=Moments)
    cost: Moments = field(default_factory=Moments)
    unpriced_count: int = 0

    @property
    def executions(self) -> int:
        """How many there were."""
        return self.outcomes.count

    @property
    def typical_ms(self) -> float | None:
        """The geometric mean latency, which a few slow executions hardly move."""
        return math.exp(self.log_latency.mean) if self.log_latency.count else None

    @property
    def mean_quality(self) -> float | None:
        """The mean score of the executions that have one."""
        return self.quality.mean if self.quality.count else None

    @property
    def mean_cost_usd(self) -> float | None:
        """The mean cost of an execution; None where any is unpriced, for then nobody knows."""
        return self.cost.mean if self.cost.count and not self.unpriced_count else None
