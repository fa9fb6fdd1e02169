"""Records attempts as model executions of ``tasks.metrics``, which also tells them to Kafka."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.lab.asking import AskRequest, Attempt
from tasks.metrics.model import NAME_LIMIT, Execution, Tier
from tasks.metrics.service import MetricsService

_MESSAGE_LIMIT = 500


class MetricsRecords:
    """The ``Records`` of the lab."""

    def __init__(self, metrics: MetricsService, environment: str) -> None:
        self._metrics = metrics
        self._environment = environment

    def keep(self, request: AskRequest, attempts: Sequence[Attempt]) -> None:
        """Records attempts. Raises DatabaseUnavailable, DatabaseBusy."""
        self._metrics.record([self._execution(request, one) for one in attempts], source="lab")

    def _execution(self, request: AskRequest, attempt: Attempt) -> Execution:
        metadata = dict(request.metadata)
        if attempt.input_tokens is None or attempt.output_tokens is None:
            # The count of an execution is a number: 0 would be a lie without this.
            metadata["tokens_not_told"] = True
        tier: Tier = attempt.tier  # type: ignore[assignment]  # one of model.TIERS
        escalated: Tier | None = attempt.escalated_to_tier  # type: ignore[assignment]
        return Execution(
            execution_id=str(attempt.execution_id),
            model=attempt.model[:NAME_LIMIT],
            task_type=request.task_type[:NAME_LIMIT],
            started_at=attempt.started_at,
            completed_at=attempt.completed_at,
            latency_ms=attempt.latency_ms,
            first_token_latency_ms=attempt.first_token_latency_ms,
            input_tokens=attempt.input_tokens or 0,
            output_tokens=attempt.output_tokens or 0,
            success=attempt.success,
            model_tier=tier,
            provider=attempt.provider[:NAME_LIMIT],
            environment=self._environment,
            endpoint=attempt.endpoint,
            error_type=attempt.error_type,
            error_message=attempt.error_message,
            quality_score=attempt.quality_score,
            retry_count=attempt.retry_count,
            escalated_to_tier=escalated,
            metadata=metadata,
        )
