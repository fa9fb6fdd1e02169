"""One attempt: asks one model, listens as its answer streams in, and judges what came."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tasks.ids import new_id
from tasks.lab import scoring
from tasks.lab.asking import AskRequest, Attempt
from tasks.lab.errors import AttemptFailed, Cancelled
from tasks.lab.model import Candidate
from tasks.lab.protocols import ollama, openai
from tasks.lab.protocols.speech import Generate, Heard, ModelsOf, Prompt, Server, text_within
from tasks.lab.protocols.streams import mended, parsed
from tasks.lab.protocols.wire import Clock
from tasks.lab.scoring import AskModel, Scored
from tasks.secrets import SecretMissing, secret
from tasks.workflows.definition.expect import misses

GENERATE: dict[str, Generate] = {"ollama": ollama.generate, "openai": openai.generate}
MODELS_OF: dict[str, ModelsOf] = {"ollama": ollama.models_of, "openai": openai.models_of}

CANCELLED = "cancelled"
_FENCED = re.compile(r"\A\s*```[A-Za-z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_MESSAGE_LIMIT = 500


@dataclass(frozen=True)
class Listener:
    """Who is told of a question on its way. ``text`` may raise Cancelled, which ends the question; ``cancelled`` is
    asked at least once a second whether it should end."""

    began: Callable[[Tried], None] | None = None
    text: Callable[[str], None] | None = None
    ended: Callable[[Attempt], None] | None = None
    cancelled: Callable[[], bool] = lambda: False


@dataclass
class Tried:
    """What an attempt came to: its record to be, and the answer (``failure`` None) or why there is none."""

    candidate: Candidate
    execution_id: UUID = field(default_factory=new_id)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    latency_ms: float = 0.0
    first_token_ms: float | None = None
    heard: Heard = field(default_factory=Heard)
    text: str = ""
    value: Any = None
    quality_score: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    failure: AttemptFailed | None = None

    def record(self, retry_count: int, escalated_to_tier: str | None) -> Attempt:
        """As it is kept."""
        endpoint, failure = self.candidate.endpoint, self.failure
        return Attempt(
            execution_id=self.execution_id,
            model=self.candidate.model,
            endpoint=endpoint.name,
            provider=endpoint.provider or endpoint.kind,
            tier=self.candidate.tier,
            started_at=self.began_at,
            completed_at=self.began_at + timedelta(milliseconds=self.latency_ms),
            latency_ms=self.latency_ms,
            first_token_latency_ms=self.first_token_ms,
            input_tokens=self.heard.input_tokens,
            output_tokens=self.heard.output_tokens,
            success=failure is None,
            error_type=failure.error_type if failure else None,
            error_message=failure.message[:_MESSAGE_LIMIT] if failure else None,
            quality_score=self.quality_score,
            retry_count=retry_count,
            escalated_to_tier=escalated_to_tier,
        )


def server_of(candidate: Candidate, max_text_bytes: int) -> Server:
    """How the candidate's endpoint is reached. Raises AttemptFailed: its key is not set here."""
    endpoint = candidate.endpoint
    try:
        key = secret(endpoint.secret) if endpoint.secret else None
    except SecretMissing as problem:
        raise AttemptFailed("unauthorized", problem.detail) from None
    return Server(
        endpoint.url,
        key,
        endpoint.connect_timeout_s,
        max_wire_bytes=64 * max_text_bytes,
        max_text_bytes=max_text_bytes,
    )


def attempt(
    tried: Tried, request: AskRequest, left_s: float, share_s: float, max_text_bytes: int, listener: Listener
) -> None:
    """Asks the candidate of ``tried``, for at most ``left_s``, and ``share_s`` until the first token; fills in what
    came."""
    candidate = tried.candidate
    clock = Clock(left_s, candidate.endpoint.first_token_timeout_s, listener.cancelled, share_s)
    try:
        tried.text = _listen(candidate, request, clock, tried.heard, max_text_bytes, listener)
    except AttemptFailed as failure:
        tried.failure = failure
    except Cancelled:
        tried.failure = AttemptFailed(CANCELLED, "nobody waits for the answer any more")
    tried.latency_ms = clock.ms_since_start()
    tried.first_token_ms = clock.first_token_ms()


def judge(tried: Tried, request: AskRequest, ask_model: AskModel) -> None:
    """Holds an answer that came against what was asked for; one that falls short is a failed attempt.

    Not while its endpoint is still taken up: a judge may need the same one.
    """
    if tried.failure is not None:
        return
    try:
        _judge(tried, request, ask_model)
    except AttemptFailed as failure:
        tried.failure = failure


def json_of(text: str) -> Any:
    """What a text says as JSON; a Markdown fence around it, which models like, is taken off.

    Raises:
        AttemptFailed: invalid_json.
    """
    fenced = _FENCED.match(text)
    try:
        return parsed((fenced[1] if fenced else text).encode())
    except AttemptFailed:
        raise AttemptFailed("invalid_json", f"the answer is not JSON: {text[:80]!r}") from None


def _listen(
    candidate: Candidate, request: AskRequest, clock: Clock, heard: Heard, limit: int, listener: Listener
) -> str:
    prompt = Prompt(
        candidate.model, request.prompt, request.system, request.temperature, request.max_tokens, request.json
    )
    server = server_of(candidate, limit)
    pieces: list[str] = []
    for piece in text_within(GENERATE[candidate.endpoint.kind](server, prompt, clock, heard), limit):
        pieces.append(piece)
        if listener.text is not None:
            listener.text(mended(piece))
    if not heard.complete:
        raise AttemptFailed("hung_up", "the answer ended before the server said that it was all")
    text = mended("".join(pieces))
    if not text.strip():
        raise AttemptFailed("empty_answer", f"an empty answer (finish reason: {heard.finish_reason})")
    return text


def _judge(tried: Tried, request: AskRequest, ask_model: AskModel) -> None:
    if request.json:
        tried.value = _whole_json(tried)
    if request.expect is not None:
        missed = misses(request.expect, tried.value if request.json else tried.text)
        if missed:
            raise AttemptFailed("expectation_missed", "; ".join(missed))
    if not request.scorers:
        return
    answer = Scored(request.prompt, tried.text, _value_of(tried, request), ask_model)
    tried.quality_score, tried.scores = scoring.score(request.scorers, answer)
    least = request.min_quality
    if least is not None and tried.quality_score is not None and tried.quality_score < least:
        raise AttemptFailed("quality_too_low", f"a quality of {tried.quality_score:g}, less than {least:g}")


def _whole_json(tried: Tried) -> Any:
    try:
        return json_of(tried.text)
    except AttemptFailed as failure:
        if tried.heard.finish_reason != "length":
            raise
        raise AttemptFailed(failure.error_type, f"cut off at the limit of tokens: {failure.message}") from None


def _value_of(tried: Tried, request: AskRequest) -> Any:
    if request.json:
        return tried.value
    try:
        return json_of(tried.text)
    except AttemptFailed:
        return None
