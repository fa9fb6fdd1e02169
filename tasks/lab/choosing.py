"""Puts the models that could answer a question into an order: which is asked first, and which when one has failed.

Pure: what is known of the models comes in as ``Figures`` and as an advised order (best first).
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from tasks.lab.asking import AskRequest
from tasks.lab.model import TIERS, Candidate, Endpoint, answers_to

_LAST = 1e18


@dataclass(frozen=True)
class Figures:
    """What is known of a model for one kind of task; None: nothing is."""

    latency_ms: float | None = None
    success_rate: float | None = None
    quality_score: float | None = None
    cost_usd: float | None = None


@dataclass(frozen=True)
class Knowledge:
    """What helps to choose: figures by model, and models in the order in which they are advised."""

    figures: Mapping[str, Figures] = field(default_factory=dict)
    advised: Sequence[str] = ()


class Choice:
    """The order of candidates for one question. Equal ones are shuffled once, so that load spreads."""

    def __init__(
        self, request: AskRequest, endpoints: Sequence[Endpoint], knowledge: Knowledge, chance: random.Random
    ) -> None:
        self._request = request
        self._figures = knowledge.figures
        self._advised = {model: place for place, model in enumerate(knowledge.advised)}
        found = [Candidate(e, model) for e in endpoints if e.enabled for model in e.usable_models()]
        chance.shuffle(found)
        self.candidates = [one for one in found if self._may(one)]
        # Those that a constraint rules out are kept apart, to say so.
        self.ruled_out = [one for one in self.candidates if not self._fits(one)]
        self.candidates = [one for one in self.candidates if self._fits(one)]

    def first(self) -> list[Candidate]:
        """Whom to ask, best first.

        A named model, a tier or an advised order decide; else the least tier is first, since an escalation leads up.
        """
        return sorted(self.candidates, key=lambda one: (*self._start(one), *_trouble(one)))

    def after(
        self, failed: Candidate, tried: Collection[tuple[UUID, str]], troubled: Collection[UUID]
    ) -> list[Candidate]:
        """Whom to ask when ``failed`` has failed, best first, of those whose keys are not ``tried``. ``troubled``:
        ids of endpoints that failed themselves, and not for the question's sake; they come last."""
        rest = [one for one in self.candidates if one.key not in tried]
        fallback = self._request.fallback or "next_tier"
        if fallback == "same_tier":
            rest = [one for one in rest if one.tier == failed.tier]
        elif fallback == "next_tier":
            rest = [one for one in rest if _rank(one) >= _rank(failed)]
        return sorted(rest, key=lambda one: (one.endpoint.id in troubled, *self._fallback_key(one, failed, fallback)))

    def _fallback_key(self, one: Candidate, failed: Candidate, fallback: str) -> tuple[float, ...]:
        known = self._figures.get(one.model, Figures())
        place = float(self._advised.get(one.model, _LAST))
        match fallback:
            case "fastest":
                key: tuple[float, ...] = (_known(known.latency_ms),)
            case "most_reliable":
                key = (-_known(known.success_rate, -1.0),)
            case "highest_quality":
                key = (-_known(known.quality_score, -1.0),)
            case "lowest_cost":
                key = (_known(known.cost_usd),)
            case "next_tier":
                # The same tier again only where there is none above.
                key = (float(_rank(one) - _rank(failed)) or _LAST,)
            case _:
                key = ()
        return (*key, place, *_trouble(one))

    def _may(self, one: Candidate) -> bool:
        wanted = self._request.model
        # A named model is what is wanted; another only where a fallback was asked for.
        return wanted is None or answers_to(one.model, wanted) or self._request.fallback is not None

    def _fits(self, one: Candidate) -> bool:
        """Whether nothing that is known of the model breaks a constraint."""
        known, request = self._figures.get(one.model, Figures()), self._request
        return not (
            _above(known.latency_ms, request.max_latency_ms)
            or _above(known.cost_usd, request.max_cost_usd)
            or _above(request.min_quality, known.quality_score)
        )

    def _start(self, one: Candidate) -> tuple[float, ...]:
        request = self._request
        is_named = request.model is not None and answers_to(one.model, request.model)
        distance = 0
        if request.tier is not None:
            distance = _rank(one) - TIERS.index(request.tier)
            # Upwards first, as an escalation goes; below only where there is nothing else.
            distance = distance if distance >= 0 else len(TIERS) - distance
        return (not is_named, distance, float(self._advised.get(one.model, _LAST)), _rank(one))


def usable_now(candidates: Sequence[Candidate], now: datetime) -> list[Candidate]:
    """Those whose endpoint is neither paused nor behind an open circuit."""
    return [one for one in candidates if not one.endpoint.is_paused(now) and not one.endpoint.is_open(now)]


def _trouble(one: Candidate) -> tuple[float, ...]:
    endpoint = one.endpoint
    return (endpoint.state == "unhealthy", endpoint.circuit != "closed", endpoint.failures)


def _rank(one: Candidate) -> int:
    return TIERS.index(one.tier)


def _known(value: float | None, otherwise: float = _LAST) -> float:
    return otherwise if value is None else value


def _above(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit
