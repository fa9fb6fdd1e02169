"""The whole of one question: attempt after attempt, from model to model, until there is an answer or no way on.

An attempt is recorded before the next one begins, when it is known where the question goes. Each is noted before it
begins, so that the record of one in which the process is killed is made all the same (``intents``).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from tasks.lab.asking import AskAnswer, AskRequest, Attempt
from tasks.lab.attempting import CANCELLED, Listener, Tried, attempt, judge
from tasks.lab.choosing import Choice
from tasks.lab.circuits import Circuits
from tasks.lab.errors import (
    AttemptFailed,
    Cancelled,
    LabBusy,
    LabFailed,
    LabTimedOut,
    LabUnavailable,
    tells_against_endpoint,
)
from tasks.lab.model import Candidate
from tasks.lab.scoring import AskModel
from tasks.lab.turns import LONGEST_PAUSE_S, Turns

_BACKOFF_S = 0.5
# Failures after which the same model is asked once more, when there is no other.
_PASSING = frozenset({"unreachable", "connect_timeout", "hung_up", "server_error", "stalled", "rate_limited"})


@dataclass(frozen=True)
class Limits:
    """Of one question: attempts in all, and the length of an answer."""

    max_attempts: int
    max_text_bytes: int


@dataclass
class Question:
    """One question under way. ``begin`` makes it durable that an attempt is made, as its record is so far, ``keep``
    the record; ``ask_model`` is for judges; ``deadline`` is on ``time.monotonic()``'s clock."""

    request: AskRequest
    choice: Choice
    turns: Turns
    circuits: Circuits
    limits: Limits
    deadline: float
    begin: Callable[[Attempt], None]
    keep: Callable[[Attempt], None]
    ask_model: AskModel
    listener: Listener = field(default_factory=Listener)
    attempts: list[Attempt] = field(default_factory=list)
    _asked: set[tuple[UUID, str]] = field(default_factory=set)
    _troubled: set[UUID] = field(default_factory=set)
    _asked_again: bool = False

    def answer(self) -> AskAnswer:
        """The answer.

        Raises:
            LabUnavailable, LabBusy: not one model could be asked.
            LabTimedOut: the deadline passed in an attempt.
            LabFailed: all attempts failed.
            Cancelled: the listener said so.
        """
        began = time.monotonic()
        tried = self._try(self.choice.first(), None)
        while (failure := tried.failure) is not None:
            if failure.error_type == CANCELLED:
                self._record(tried, None)
                raise Cancelled
            try:
                tried = self._try(self._next_ones(tried, failure), tried)
            except Cancelled:
                self._record(tried, None)
                raise
            except (LabUnavailable, LabBusy) as problem:
                self._record(tried, None)
                raise self._given_up(failure) from problem
        self._record(tried, None)
        return self._answered(tried, (time.monotonic() - began) * 1000)

    def _try(self, queue: list[Candidate], failed: Tried | None) -> Tried:
        if not queue:
            raise LabUnavailable(self._why_nobody())
        with self.turns.turn(queue, self.deadline, self.listener.cancelled) as candidate:
            if failed is not None:
                self._record(failed, candidate)
            self._asked.add(candidate.key)
            tried = Tried(candidate)
            self.begin(tried.record(len(self.attempts), None))
            if self.listener.began is not None:
                self.listener.began(tried)
            left_s = max(0.001, self.deadline - time.monotonic())
            # Who says nothing must not use up the time of those that would be asked next.
            share_s = left_s / 2 if self._may_ask_another(candidate) else math.inf
            attempt(tried, self.request, left_s, share_s, self.limits.max_text_bytes, self.listener)
        self._tell_circuit(candidate, tried.failure)
        judge(tried, self.request, self.ask_model)
        return tried

    def _may_ask_another(self, candidate: Candidate) -> bool:
        """Whether somebody is left to ask, should this one fail."""
        others = self.choice.after(candidate, self._asked, self._troubled)
        return bool(others) and len(self.attempts) + 1 < self.limits.max_attempts

    def _tell_circuit(self, candidate: Candidate, failure: AttemptFailed | None) -> None:
        if failure is None:
            self.circuits.succeeded(candidate.endpoint)
            return
        self.circuits.failed(candidate.endpoint, failure)
        if tells_against_endpoint(failure.error_type):
            self._troubled.add(candidate.endpoint.id)

    def _next_ones(self, failed: Tried, failure: AttemptFailed) -> list[Candidate]:
        """Whom to ask after a failure, best first; nobody where the attempts or the time are used up."""
        if len(self.attempts) + 1 >= self.limits.max_attempts or failure.error_type == "timed_out":
            return []
        queue = self.choice.after(failed.candidate, self._asked, self._troubled)
        if queue or self._asked_again or failure.error_type not in _PASSING:
            return queue
        self._asked_again = True
        pause_s = failure.retry_after_s or _BACKOFF_S * random.uniform(0.5, 1.5)  # noqa: S311 - spread
        if pause_s > min(LONGEST_PAUSE_S, self.deadline - time.monotonic()):
            return []
        time.sleep(pause_s)
        return [failed.candidate]

    def _record(self, tried: Tried, next_one: Candidate | None) -> None:
        escalated = None if next_one is None or next_one.tier == tried.candidate.tier else next_one.tier
        made = tried.record(len(self.attempts), escalated)
        self.attempts.append(made)
        self.keep(made)
        if self.listener.ended is not None:
            self.listener.ended(made)

    def _answered(self, tried: Tried, total_ms: float) -> AskAnswer:
        last = self.attempts[-1]
        return AskAnswer(
            text=tried.text,
            model=last.model,
            endpoint=last.endpoint,
            provider=last.provider,
            tier=last.tier,
            input_tokens=last.input_tokens,
            output_tokens=last.output_tokens,
            latency_ms=last.latency_ms,
            first_token_latency_ms=last.first_token_latency_ms,
            total_ms=total_ms,
            attempts=tuple(self.attempts),
            finish_reason=tried.heard.finish_reason,
            value=tried.value,
            quality_score=tried.quality_score,
            scores=tried.scores,
        )

    def _given_up(self, failure: AttemptFailed) -> LabFailed | LabTimedOut:
        count = len(self.attempts)
        if failure.error_type == "timed_out" or time.monotonic() >= self.deadline:
            return LabTimedOut(f"No model answered before the deadline; {count} attempts were made.", self.attempts)
        return LabFailed(f"All of {count} attempts failed; the last: {failure.error_type}.", self.attempts)

    def _why_nobody(self) -> str:
        if self.choice.ruled_out:
            return "Every model that could answer is known to break a constraint of this question."
        wanted = self.request.model
        if wanted is not None and self.request.fallback is None:
            return f"No enabled endpoint offers the model {wanted!r}."
        return "No enabled endpoint offers a model: add one, and see /lab/health."
