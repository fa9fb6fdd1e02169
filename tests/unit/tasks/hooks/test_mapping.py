"""The mapping of a hook to its family and event type (CONTRACT.md, section 2)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.hooks.mapping import classify


@pytest.mark.parametrize(
    ("resource", "action", "family", "event_type"),
    [
        ("service", "startup", "service_lifecycle", "service-startup"),
        ("service", "shutdown", "service_lifecycle", "service-shutdown"),
        ("service", "health_check", "service_lifecycle", "service-health-check"),
        ("service", "HEALTH-CHECK", "service_lifecycle", "service-health-check"),
        ("service", "registration", "service_lifecycle", "service-registration"),
        ("service", "deregistration", "service_lifecycle", "service-deregistration"),
        ("anything", "ready", "service_lifecycle", "service-ready"),
        ("service", "error", "service_lifecycle", "service-error"),
        ("tool", "error", "tool_execution", "tool-error"),
        ("my_tool", "startup", "service_lifecycle", "service-startup"),
        ("tool", "tool_call", "tool_execution", "tool-call"),
        ("tool", "anything", "tool_execution", "tool-call"),
        ("search", "invoke", "tool_execution", "tool-call"),
        ("search", "response", "tool_execution", "tool-response"),
        ("search", "timeout", "tool_execution", "tool-timeout"),
        ("metrics", "report", "performance", "performance"),
        ("configuration", "change", "configuration", "configuration-changed"),
        ("order", "paid", "hook", "order.paid"),
    ],
)
def test_each_rule(resource: str, action: str, family: str, event_type: str) -> None:
    assert classify(resource, action) == (family, event_type)


@given(st.text(), st.text())
def test_every_hook_has_a_family_and_topic_names_are_sound(resource: str, action: str) -> None:
    family, event_type = classify(resource, action)
    assert family == "hook" or re.fullmatch(r"[a-z][a-z-]*", event_type)
