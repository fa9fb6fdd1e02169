"""One score from 0 to 1 for how good a model is at something, made of four parts, each from 0 to 1.

- success: the rate of success, by Laplace's rule of succession, (successes + 1) / (executions + 2)
- quality: the mean quality score
- speed, cost: t / (t + x) of the geometric mean latency, and of the mean cost, where t is the median of the models
  that are scored together: 0.5 is typical, twice as fast 0.67, half as fast 0.33.

A part that is known of none is left out; a model that lacks one which others have gets their median, and it is said
(``assumed``). The score is the parts' weighted mean. Its standard error comes from theirs by the delta method.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from tasks.metrics.questions.evidence import Evidence
from tasks.metrics.statistics.student import NORMAL

WEIGHTS: Mapping[str, float] = {"success": 0.35, "quality": 0.35, "speed": 0.2, "cost": 0.1}
_TOLD_APART = NORMAL.inv_cdf(0.975)


@dataclass(frozen=True)
class Score:
    """A model's score, its parts by name, which of them were assumed, and the score's standard error."""

    evidence: Evidence
    score: float
    error: float
    parts: Mapping[str, float]
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """What the models of one ranking have in common: typical latency and cost, and the median of each part."""

    typical_ms: float | None
    typical_usd: float | None
    medians: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, models: Sequence[Evidence]) -> Scale:
        """The scale of ``models``."""
        bare = cls(
            _median([model.typical_ms for model in models]), _median([model.mean_cost_usd for model in models])
        )
        parts = [bare.parts(model) for model in models]
        known = {name: [part[name] for part in parts if name in part] for name in WEIGHTS}
        return cls(
            bare.typical_ms, bare.typical_usd, {name: median(values) for name, values in known.items() if values}
        )

    def parts(self, model: Evidence) -> dict[str, float]:
        """The parts that are known of ``model``."""
        outcomes, quality, latency, cost = (
            model.outcomes,
            model.mean_quality,
            model.typical_ms,
            model.mean_cost_usd,
        )
        found = {"success": (outcomes.hits + 1) / (outcomes.count + 2)}
        if quality is not None:
            found["quality"] = quality
        if latency is not None and self.typical_ms is not None:
            found["speed"] = _relative(self.typical_ms, latency)
        if cost is not None and self.typical_usd is not None:
            found["cost"] = _relative(self.typical_usd, cost)
        return found

    def total(self, parts: Mapping[str, float]) -> float:
        """The score of ``parts``; those that are missing are taken from the medians."""
        weight = math.fsum(WEIGHTS[name] for name in self.medians)
        return math.fsum(WEIGHTS[name] * parts.get(name, middle) for name, middle in self.medians.items()) / weight

    def score(self, model: Evidence) -> Score:
        """The score of ``model``."""
        parts = self.parts(model)
        weight = math.fsum(WEIGHTS[name] for name in self.medians)
        variance = math.fsum((WEIGHTS[name] / weight) ** 2 * spread for name, spread in _variances(model, parts))
        filled = {name: parts.get(name, middle) for name, middle in self.medians.items()}
        assumed = tuple(name for name in self.medians if name not in parts)
        return Score(model, self.total(parts), math.sqrt(variance), filled, assumed)


def ranked(models: Sequence[Evidence]) -> list[tuple[int, Score]]:
    """Scores, the best first, with ranks. Models that can't be told apart share a rank, and the next rank is skipped.

    A model shares the rank of the best of a group where the difference of their scores is less than 1.96 of its
    standard errors. Equal scores are in order of the models' names.
    """
    scale = Scale.of(models)
    scores = sorted((scale.score(model) for model in models), key=lambda made: (-made.score, made.evidence.model))
    found: list[tuple[int, Score]] = []
    best: Score | None = None
    rank = 0
    for place, made in enumerate(scores, start=1):
        if best is None or best.score - made.score > _TOLD_APART * math.hypot(best.error, made.error):
            best, rank = made, place
        found.append((rank, made))
    return found


def _relative(typical: float, value: float) -> float:
    return typical / (typical + value) if typical + value > 0.0 else 0.5


def _variances(model: Evidence, parts: Mapping[str, float]) -> list[tuple[str, float]]:
    success = parts["success"]
    found = [("success", success * (1.0 - success) / (model.outcomes.count + 3))]
    if "quality" in parts and model.quality.count > 1:
        found.append(("quality", model.quality.squared_error))
    if "speed" in parts and model.log_latency.count > 1:
        slope = parts["speed"] * (1.0 - parts["speed"])
        found.append(("speed", slope * slope * model.log_latency.squared_error))
    if "cost" in parts and model.cost.count > 1 and model.cost.mean > 0.0:
        slope = parts["cost"] * (1.0 - parts["cost"]) / model.cost.mean
        found.append(("cost", slope * slope * model.cost.squared_error))
    return found


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
