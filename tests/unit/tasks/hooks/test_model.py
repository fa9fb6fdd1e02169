"""Hooks: equal bodies have equal digests; the chart of states is whole."""

from __future__ import annotations

from tasks.hooks.model import END_STATES, STATES, TRANSITIONS, NewHook


def test_the_digest_is_of_what_was_said_not_of_how() -> None:
    one = NewHook("s", "a", "r", "1", data={"x": 1, "y": {"b": 2, "a": 1}}, delivery_id="k", correlation_id="c")
    two = NewHook("s", "a", "r", "1", data={"y": {"a": 1, "b": 2}, "x": 1}, delivery_id="other")
    assert one.digest() == two.digest()
    assert one.digest() != NewHook("s", "a", "r", "2", data=one.data).digest()


def test_the_chart_has_every_state_and_every_end_is_reached() -> None:
    assert set(TRANSITIONS) == set(STATES)
    reached = {"received"}
    for _ in STATES:
        reached |= {after for before in reached for after in TRANSITIONS[before]}
    assert reached == set(STATES)
    assert set(STATES) >= END_STATES
