"""Advice from model metrics: the lab's ``Advice`` by recommendations and prices."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tasks.lab.asking import AskRequest, Attempt
from tasks.lab.choosing import Figures, Knowledge
from tasks.metrics.prices.service import PriceService
from tasks.metrics.questions.evidence import Evidence
from tasks.metrics.questions.recommendation import Constraints, Recommendation
from tasks.metrics.questions.service import QuestionService


class MetricsAdvice:
    """Models in the order of a recommendation that explores; figures are of the last week, up to 10 s old."""

    def __init__(self, questions: QuestionService, prices: PriceService, random: Random | None = None) -> None:
        self._questions = questions
        self._prices = prices
        self._random = random or Random()  # noqa: S311 - for trying, not for secrecy

    def knowledge(self, request: AskRequest, models: Sequence[str]) -> Knowledge:
        """What is known of ``models`` at such tasks. Raises DatabaseUnavailable, DatabaseBusy."""
        constraints = Constraints(request.max_latency_ms, request.max_cost_usd, request.min_quality)
        found = self._questions.recommend(request.task_type, constraints, models, random=self._random)
        known = [made.evidence for _, made in found.items] + [one.evidence for one in found.excluded]
        return Knowledge({one.model: _figures(one) for one in known}, _advised(found))

    def cost_usd(self, attempt: Attempt) -> float | None:
        """What an attempt cost by the price table; None where no price is known, or the tokens are not."""
        if attempt.input_tokens is None or attempt.output_tokens is None:
            return None
        price = self._prices.price_of(attempt.model, attempt.provider, attempt.started_at)
        return None if price is None else price.cost_usd(attempt.input_tokens, attempt.output_tokens)


def _figures(one: Evidence) -> Figures:
    """The figures that constraints are about: the 95th percentile of latency, means of the others."""
    return Figures(
        latency_ms=one.p95_ms,
        success_rate=one.outcomes.rate,
        quality_score=one.mean_quality,
        cost_usd=one.mean_cost_usd,
    )


def _advised(found: Recommendation) -> list[str]:
    """The choice, then the ranked. Where none is known well enough there is no advice, and tiers decide."""
    if not found.items or found.choice is None:
        return []
    return list(dict.fromkeys([found.choice.model, *(made.evidence.model for _, made in found.items)]))
