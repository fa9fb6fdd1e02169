"""Steps of the kind ai: a question to the lab's models, and what later steps may read of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.lab.administration import new_endpoint
from tasks.lab.service import lab_of
from tasks.runtime import Runtime
from tasks.workflows.attempt import Refused, StepError
from tasks.workflows.kinds import ai
from tests.integration.tasks.workflows.kinds.conftest import attempt_on
from tests.lab_server import Behaviour, LabServer


def add(runtime: Runtime, lab_server: LabServer) -> None:
    endpoint = new_endpoint({"name": "one", "kind": "openai", "url": lab_server.url, "tier": "small"})
    lab_of(runtime).endpoints.add(endpoint)


def ask(runtime: Runtime, **arguments: Any) -> Any:
    return ai.run(attempt_on(runtime), arguments)


def test_an_answer_is_recorded_with_its_step(runtime: Runtime, lab_server: LabServer) -> None:
    lab_server.behave("m1", Behaviour(("He", "llo")))
    add(runtime, lab_server)
    output = ask(runtime, prompt="Say hello", task_type="documentation", max_tokens=5)
    assert (output["text"], output["model"], output["tier"], output["attempts"]) == ("Hello", "m1", "small", 1)
    assert (output["input_tokens"], output["output_tokens"]) == (7, 2)
    assert output["cost_usd"] is None


def test_an_answer_that_is_json_is_the_output(runtime: Runtime, lab_server: LabServer) -> None:
    lab_server.behave("m1", Behaviour(('{"ok": [1, tr', "ue]}")))
    add(runtime, lab_server)
    assert ask(runtime, prompt="Answer", json=True) == {"ok": [1, True]}


def test_what_can_not_be_asked_is_told(runtime: Runtime) -> None:
    with pytest.raises(StepError) as caught:
        ask(runtime, prompt="Anybody?")
    assert (caught.value.error_type, caught.value.retryable) == ("LabUnavailable", True)
    with pytest.raises(Refused) as refused:
        ask(runtime, prompt=" ")
    assert refused.value.error_type == "InvalidQuestion"


def test_a_model_that_fails_is_a_failed_attempt(runtime: Runtime, lab_server: LabServer) -> None:
    lab_server.behave("m1", Behaviour(status=500))
    add(runtime, lab_server)
    with pytest.raises(StepError) as failed:
        ask(runtime, prompt="hi")
    assert failed.value.error_type == "LabFailed"
