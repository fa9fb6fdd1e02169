"""The lab with a real model: what LAB_REAL_URL names, or a tiny one that ``make real-model`` has installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tasks.lab.asking import AskRequest, ScorerSpec
from tasks.lab.attempting import Listener
from tasks.lab.errors import LabFailed
from tasks.lab.service import LabService
from tasks.workflows.definition.model import Expectation
from tests import real_model
from tests.integration.conftest import ROOT
from tests.integration.tasks.lab.conftest import Add


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a server that speaks OpenAI's protocol, as llama.cpp's does."""
    named = os.environ.get("LAB_REAL_URL")
    if named:
        yield named
        return
    if not real_model.is_installed():
        pytest.skip("no real model: LAB_REAL_URL names no server, and `make real-model` has installed none")
    command = [sys.executable, "-m", "tests.real_model", "serve"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        lines = iter(process.stdout.readline, "")
        yield next(line.strip() for line in lines if line.startswith("http://"))
    finally:
        process.kill()
        process.wait(10)


def test_a_real_model_answers_and_streams(
    url: str, lab: LabService, add: Add, executions: Callable[[], list[dict[str, Any]]]
) -> None:
    add(url, "real", "tiny", max_concurrency=1)
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


def test_a_real_models_answer_is_held_against_what_was_asked(url: str, lab: LabService, add: Add) -> None:
    add(url, "real", "tiny")
    scorers = (ScorerSpec("length", {"least": 1}), ScorerSpec("exact", {"expected": "no model says this"}, 3.0))
    asked = AskRequest("Count to three.", max_tokens=8, temperature=0.0, scorers=scorers)
    answer = lab.ask(asked, 120)
    assert (answer.quality_score, answer.scores) == (0.25, {"length": 1.0, "exact": 0.0})
    assert answer.finish_reason == "length"
    with pytest.raises(LabFailed) as failed:
        lab.ask(replace(asked, expect=Expectation(min_length=10_000)), 120)
    assert {one.error_type for one in failed.value.attempts} == {"expectation_missed"}
