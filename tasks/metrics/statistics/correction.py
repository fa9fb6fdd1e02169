"""Correction for many comparisons: Holm's step-down method.

Holm rather than Benjamini-Hochberg: who compares models acts on any single difference that is called real, so the
chance of even one false call is what must stay at 5 % (the family-wise error rate), not their share among many; and
pairs that share a model depend on each other, which Holm allows whatever the dependence is.

S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """The adjusted p-values, in the given order: those at most 0.05 are real at a family-wise 5 %."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = highest
    return adjusted
