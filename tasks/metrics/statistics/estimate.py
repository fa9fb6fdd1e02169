"""What every test answers: an estimated difference, its interval, and a p-value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """``difference`` with its two-sided confidence interval, and the two-sided p-value of "there is none"."""

    difference: float
    low: float
    high: float
    p_value: float
