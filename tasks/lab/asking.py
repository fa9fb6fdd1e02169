"""What is asked of the lab, and what it answers: frozen values that travel between its parts and its callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from tasks.workflows.definition.model import Expectation


@dataclass(frozen=True)
class ScorerSpec:
    """A scorer by its registered name, with its arguments; ``weight`` counts in the mean of all."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0


@dataclass(frozen=True)
class AskRequest:
    """A prompt, and how the model that answers it is chosen.

    ``model``: this one and no other, unless ``fallback`` is given too. ``tier``: where the choice begins. ``max_…``
    and ``min_quality`` constrain the choice by what is known of the models; with ``scorers``, ``min_quality`` (0 to
    1) is also what the answer must reach. ``expect``: what the answer must be; one that misses is a failed attempt.
    ``json``: the answer must be JSON. ``metadata`` goes with every recorded attempt.
    """

    prompt: str
    system: str | None = None
    model: str | None = None
    tier: str | None = None
    task_type: str = "general_reasoning"
    max_latency_ms: float | None = None
    max_cost_usd: float | None = None
    min_quality: float | None = None
    fallback: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    json: bool = False
    expect: Expectation | None = None
    scorers: tuple[ScorerSpec, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """One try with one model, and how it went. Times in milliseconds, tokens as the server counted them (None: it did
    not say). ``retry_count``: how many attempts were before it; ``escalated_to_tier``: where the next one went."""

    execution_id: UUID
    model: str
    endpoint: str
    provider: str
    tier: str
    started_at: datetime
    completed_at: datetime
    latency_ms: float
    first_token_latency_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    success: bool
    error_type: str | None = None
    error_message: str | None = None
    quality_score: float | None = None
    retry_count: int = 0
    escalated_to_tier: str | None = None


@dataclass(frozen=True)
class AskAnswer:
    """The answer of the attempt that succeeded, and all attempts in their order, that one last.

    ``value`` is what the text says as JSON, where JSON was asked for. ``latency_ms`` is that of the attempt, and
    ``total_ms`` the time of the whole question. ``cost_usd`` is None where no price is known.
    """

    text: str
    model: str
    endpoint: str
    provider: str
    tier: str
    input_tokens: int | None
    output_tokens: int | None
    latency_ms: float
    first_token_latency_ms: float | None
    total_ms: float
    attempts: tuple[Attempt, ...]
    finish_reason: str | None = None
    value: Any = None
    quality_score: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    cost_usd: float | None = None
