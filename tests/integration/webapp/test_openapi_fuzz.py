"""schemathesis on our own description: no request, good or bad, meets a 500 or an answer that is not described.

The same requests every time. More examples look further: ``FUZZ_EXAMPLES=500 pytest tests/…/test_openapi_fuzz.py``.
"""

from __future__ import annotations

import os
from typing import Any

import schemathesis
from flask import Flask
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import ServerError
from schemathesis.engine import events, from_schema
from schemathesis.specs.openapi.checks import AcceptedNegativeData, RejectedPositiveData

from tasks.access.model import SCOPES
from tests.integration.webapp.support import client_with

# What a JSON Schema can't say of the lab's questions: scorers' arguments, expectations, blank prompts, who waits how
# long; and of its endpoints' addresses.
_FREE = ("/scorers", "/expect", "/models", "/prompt", "/timeout_s", "/url", "/model_tiers", "/provider")
# Nor how two parameters of a question about models must fit together.
_FREE += ("/since", "/bucket_s")
_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))

# Fields of schedules and triggers whose rules are no schema's: expressions, zones, what there is, what goes together.
_OF_BEGINNINGS = frozenset(
    [
        "name",
        "workflow",
        "input",
        "metadata",
        "tags",
        "cron",
        "every_s",
        "timezone",
        "starts_at",
        "ends_at",
        "overlap",
        "filter",
        "event_types",
    ]
)


def is_a_finding(_context: Any, failure: Any, _case: Any, response: Any) -> bool:
    """Whether a failed check tells of a fault: not where a rule of ours can't be said in JSON Schema."""
    if isinstance(failure, RejectedPositiveData) and response.status_code == 422:
        problem = response.json()
        # Opaque; the draft's quoting; and which of two fields there must be.
        known = {"/cursor", "/Idempotency-Key", "/definition", "/version"}
        return not (
            {error["pointer"].split("/")[1] for error in problem["errors"] if error["pointer"]} <= _OF_BEGINNINGS
            or problem["code"] in ("IDEMPOTENCY_1", "WORKFLOW_1")  # of a definition, the schema tells an editor more
            or {error["pointer"] for error in problem["errors"]} <= known
            or all(error["pointer"].startswith(_FREE) for error in problem["errors"])
            or all("beyond 64 bits" in error["detail"] for error in problem["errors"])
        )
    if isinstance(failure, ServerError) and response.status_code == 503:
        return bool(response.json()["code"] != "LAB_1")  # no model is there to be asked
    if isinstance(failure, AcceptedNegativeData):
        return int(response.status_code) != 207  # an item of a batch fails alone
    return True


def test_every_answer_is_as_described(app: Flask, server_url: str) -> None:
    key = client_with(app, *SCOPES).environ_base["HTTP_AUTHORIZATION"]
    config = SchemathesisConfig.from_dict(
        {
            "headers": {"Authorization": key},
            "seed": 1,
            "continue-on-failure": True,
            "generation": {
                "max-examples": _EXAMPLES,
                "deterministic": True,
                "no-shrink": True,
                "allow-x00": False,  # PostgreSQL's text can't hold NUL; test_input tells what then happens
            },
            "phases": {"stateful": {"enabled": False}},
        }
    )
    schema = schemathesis.openapi.from_url(f"{server_url}/openapi.json", config=config)
    # A comparison that is well-formed waits for its deadline here, where no worker is.
    schema = schema.exclude(path="/compare", method="POST")
    schema.hooks.register_hook_with_name(is_a_finding, "filter_failure")
    requests, findings = 0, []
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            requests += len(event.recorder.cases)
            findings += _failures(event)
        elif isinstance(event, events.NonFatalError | events.FatalError | events.SchemaAnalysisWarnings):
            findings.append(repr(event))
    assert not findings, "\n\n".join(findings)
    assert requests > 300


def _failures(event: events.ScenarioFinished) -> list[str]:
    return [
        f"{event.phase.value} {event.label} {check.name}: {check.failure_info.failure.message}\n"
        f"{check.failure_info.code_sample}"
        for checks in event.recorder.checks.values()
        for check in checks
        if check.failure_info is not None
    ]
