"""Which events a step may emit, as the definition is checked and as it is run."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from tasks.ids import new_id
from tasks.runtime import Runtime
from tasks.settings import load_settings
from tasks.workflows.attempt import Attempt, Refused
from tasks.workflows.definition.mistakes import InvalidDefinition
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.kinds import emit


def definition(event: str) -> dict[str, Any]:
    return {"name": "n", "steps": [{"key": "a", "kind": "emit", "with": {"event": event}}]}


def attempt() -> Attempt:
    settings = load_settings(
        {"DATABASE_URL": "postgresql://u@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
    )
    return Attempt(Runtime(settings, "test"), new_id(), "order", "tell", 1, "c-1", "ada", inf)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ("order_done", "kebab case, such as order-done"),
        ("Order-Done", "kebab case"),
        ("order.done", "kebab case"),
        ("task-state-changed", "'task-state-' is for the bridge's own events"),
        ("workflow-completed", "'workflow-' is for"),
        ("security", "'security' is for"),
    ],
)
def test_what_no_user_may_emit_is_refused_with_the_reason(event: str, says: str) -> None:
    with pytest.raises(InvalidDefinition, match=says):
        parse_definition(definition(event))
    with pytest.raises(Refused, match="can't be emitted"):
        emit.run(attempt(), {"event": event})


def test_an_event_waits_for_the_step_to_complete() -> None:
    parse_definition(definition("order-done"))
    at = attempt()
    output = emit.run(at, {"event": "order-done", "data": {"id": 7}})
    assert output["event"] == "order-done"
    assert len(at.effects) == 1


@pytest.mark.parametrize(
    ("data", "error_type"),
    [({"a": "x" * 1_000_000}, "EventTooLarge"), ({"a": "x\0"}, "EventInvalid"), ({"a": 2**70}, "EventInvalid")],
)
def test_data_that_can_not_be_kept_is_refused(data: dict[str, Any], error_type: str) -> None:
    with pytest.raises(Refused) as caught:
        emit.run(attempt(), {"event": "order-done", "data": data})
    assert caught.value.error_type == error_type
