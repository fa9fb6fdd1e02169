"""Runs steps of the kind ``ai``: a question to the lab, which chooses the model, falls back and records attempts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.errors import BridgeError, ValidationFailed
from tasks.lab.asking import AskAnswer, AskRequest
from tasks.lab.attempting import Listener
from tasks.lab.errors import Cancelled
from tasks.lab.forms import MAX_TIMEOUT_S
from tasks.lab.service import lab_of
from tasks.workflows.attempt import Attempt, CalledOff, Refused, StepError
from tasks.workflows.definition.builtin import KINDS

_ASKED = ("prompt", "system", "model", "tier", "task_type", "fallback", "temperature", "max_tokens", "json")


@KINDS.runs("ai")
def run(attempt: Attempt, arguments: Mapping[str, Any]) -> Any:
    """The output is {text, model, …}, or with ``json`` what the answer says.

    Raises:
        Refused: the question can't be asked.
        StepError: no model answered: ``LabUnavailable``, ``LabBusy``, ``LabTimedOut`` or ``LabFailed``.
        CalledOff: the run was, or this worker stops.
    """
    timeout_s = min(MAX_TIMEOUT_S, attempt.remaining_s())
    try:
        listener = Listener(cancelled=lambda: not attempt.is_wanted())
        answer = lab_of(attempt.runtime).ask(request_of(attempt, arguments), timeout_s, listener)
    except Cancelled:
        raise CalledOff from None
    except ValidationFailed as problem:
        raise Refused(problem.detail, error_type="InvalidQuestion") from None
    except BridgeError as problem:
        if not problem.code.startswith("LAB_"):
            raise
        raise StepError(
            problem.detail, error_type=type(problem).__name__, retry_after_s=problem.retry_after_s
        ) from None
    return answer.value if arguments.get("json") else output_of(answer)


def request_of(attempt: Attempt, arguments: Mapping[str, Any]) -> AskRequest:
    """The question of a step; the recorded executions name its run and step."""
    given = {name: arguments[name] for name in _ASKED if name in arguments}
    metadata = {"run_id": str(attempt.run_id), "workflow": attempt.run_name, "step": attempt.key}
    return AskRequest(**given, metadata=metadata)


def output_of(answer: AskAnswer) -> dict[str, Any]:
    """What later steps may read of an answer."""
    return {
        "text": answer.text,
        "model": answer.model,
        "tier": answer.tier,
        "provider": answer.provider,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "latency_ms": answer.latency_ms,
        "finish_reason": answer.finish_reason,
        "cost_usd": None if answer.cost_usd is None else float(answer.cost_usd),
        "attempts": len(answer.attempts),
    }
