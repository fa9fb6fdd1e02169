"""Attempts as the engine makes them, for runners of kinds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tasks.ids import new_id
from tasks.runtime import Runtime
from tasks.settings import load_settings
from tasks.workflows.attempt import Attempt

MakeAttempt = Callable[..., Attempt]


def attempt_on(runtime: Runtime, *, seconds: float = 20, **fields: Any) -> Attempt:
    """An attempt at the step ``call`` of a run."""
    given: dict[str, Any] = {"run_id": new_id(), "run_name": "order", "key": "call", "number": 1} | fields
    given |= {"correlation_id": fields.get("correlation_id", "c-1"), "submitted_by": "ada"}
    return Attempt(runtime=runtime, deadline=time.monotonic() + seconds, **given)


@pytest.fixture
def make_attempt() -> Iterator[MakeAttempt]:
    """Makes attempts of processes with these variables set, and no server: ``make_attempt({"WORKFLOW_…": "…"})``."""
    runtimes = []

    def make(environ: dict[str, str] | None = None, **fields: Any) -> Attempt:
        unused = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
        runtimes.append(Runtime(load_settings(unused | (environ or {})), "test"))
        return attempt_on(runtimes[-1], **fields)

    yield make
    for runtime in runtimes:
        runtime.close()
