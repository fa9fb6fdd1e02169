"""Recommends a model for a task type: who keeps the constraints, ranked by score, and whom to take this time.

Taking the best all the time would never find out that another has become better. So the choice is Thompson sampling:
each model's parts are drawn from what is known of them, and the best draw is taken, which takes a model as often as
it is likely to be the best one (W. Thompson, Biometrika 25, 1933; O. Chapelle and L. Li, "An empirical evaluation of
Thompson sampling", NIPS 2011). Models with fewer than ``LEAST_EXECUTIONS`` are tried now and then whatever their
score. Since the evidence is that of a window, a model that is never chosen falls under that number and gets its
chance again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tasks.metrics.questions.evidence import Evidence
from tasks.metrics.questions.scoring import Scale, Score, ranked
from tasks.metrics.statistics.moments import Moments

LEAST_EXECUTIONS = 5
# How often a model of which too little is known is taken, where there are such.
EXPLORATION = 0.1


@dataclass(frozen=True)
class Constraints:
    """What a model must keep: the 95th percentile of latency, the mean cost of an execution, the mean quality."""

    max_latency_ms: float | None = None
    max_cost_usd: float | None = None
    min_quality: float | None = None

    def broken_by(self, model: Evidence) -> list[str]:
        """In words, each constraint that ``model`` breaks or of which nothing is known."""
        checks = (
            ("p95 latency", "ms", self.max_latency_ms, model.p95_ms, 1),
            ("mean cost", "USD", self.max_cost_usd, model.mean_cost_usd, 1),
            ("mean quality", "", self.min_quality, model.mean_quality, -1),
        )
        return [
            _complaint(name, unit, limit, value, sign)
            for name, unit, limit, value, sign in checks
            if limit is not None and (value is None or (value - limit) * sign > 0)
        ]


@dataclass(frozen=True)
class Excluded:
    """A model that is not recommended, and why."""

    evidence: Evidence
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """Whom to take this time: ``best``, ``sampled`` (Thompson) or ``explored`` (too little known)."""

    model: str
    how: str


@dataclass(frozen=True)
class Recommendation:
    """``items`` keep the constraints, the best first; ``unexplored`` are models of too few executions."""

    items: tuple[tuple[int, Score], ...]
    excluded: tuple[Excluded, ...]
    unexplored: tuple[Evidence, ...]
    choice: Choice | None


def recommend(
    known: Mapping[str, Evidence],
    constraints: Constraints,
    candidates: Sequence[str] | None = None,
    random: Random | None = None,
    exploration: float = EXPLORATION,
) -> Recommendation:
    """Ranks ``candidates`` (all that are known, where None) by what is ``known`` of them.

    The choice is the best without ``random``, and explores with it: the same seed, the same choice.
    """
    names = list(dict.fromkeys(known if candidates is None else candidates))
    models = [known.get(name, Evidence(name)) for name in names]
    unexplored = [model for model in models if model.executions < LEAST_EXECUTIONS]
    explored = [model for model in models if model.executions >= LEAST_EXECUTIONS]
    broken = [(model, tuple(constraints.broken_by(model))) for model in explored]
    kept = [model for model, reasons in broken if not reasons]
    return Recommendation(
        items=tuple(ranked(kept)),
        excluded=tuple(Excluded(model, reasons) for model, reasons in broken if reasons),
        unexplored=tuple(unexplored),
        choice=_choice(kept, unexplored, random, exploration),
    )


def _choice(
    kept: Sequence[Evidence], unexplored: Sequence[Evidence], random: Random | None, exploration: float
) -> Choice | None:
    if random is not None and unexplored and (not kept or random.random() < exploration):
        fewest = min(model.executions for model in unexplored)
        return Choice(random.choice([model.model for model in unexplored if model.executions == fewest]), "explored")
    if not kept:
        return None
    scale = Scale.of(kept)
    if random is None:
        return Choice(ranked(kept)[0][1].evidence.model, "best")
    drawn = {model.model: scale.total(_drawn(model, scale, random)) for model in kept}
    return Choice(max(drawn, key=drawn.__getitem__), "sampled")


def _drawn(model: Evidence, scale: Scale, random: Random) -> dict[str, float]:
    """One guess at the parts of ``model``: success from its beta posterior, the others around their means."""
    outcomes = model.outcomes
    guess = Evidence(
        model.model,
        outcomes=outcomes,
        log_latency=_around(model.log_latency, random, -math.inf, math.inf),
        quality=_around(model.quality, random, 0.0, 1.0),
        cost=_around(model.cost, random, 0.0, math.inf),
        unpriced_count=model.unpriced_count,
    )
    parts = scale.parts(guess)
    parts["success"] = random.betavariate(outcomes.hits + 1, outcomes.count - outcomes.hits + 1)
    return parts


def _around(sample: Moments, random: Random, least: float, most: float) -> Moments:
    if sample.count < 2:
        return sample
    mean = min(most, max(least, random.gauss(sample.mean, math.sqrt(sample.squared_error))))
    return Moments(1, mean, mean * mean)


def _complaint(name: str, unit: str, limit: float, value: float | None, sign: int) -> str:
    if value is None:
        return f"{name} is not known"
    word = "above" if sign > 0 else "below"
    return f"{name} {value:.6g} is {word} {limit:g} {unit}".rstrip()
