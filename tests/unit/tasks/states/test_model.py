"""The order of transitions: whatever way they come, a task ends up showing the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ids import new_id
from tasks.states.model import CHART, ENDS, RANKS, STATES, Transition, fold, later
from tasks.stream.transition import transition

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def made(state: str, attempt: int = 0, second: int = 0, **more: Any) -> Transition:
    return Transition(new_id(), "task", "some.task", state, attempt, EPOCH + timedelta(seconds=second), **more)


transitions = st.lists(
    st.builds(made, st.sampled_from(STATES), st.integers(0, 3), st.integers(0, 100)), min_size=1, max_size=12
)


@given(transitions, st.randoms())
def test_any_order_of_arrival_shows_the_same(came: list[Transition], random: Any) -> None:
    shuffled = list(came)
    random.shuffle(shuffled)
    one, other = fold(came), fold(shuffled)
    assert one.latest.key == other.latest.key
    assert (one.finished_at is None) == (other.finished_at is None) == (one.latest.state not in ENDS)
    assert (one.first_seen_at, one.started_at, one.deliveries) == (
        other.first_seen_at,
        other.started_at,
        other.deliveries,
    )


@given(transitions, transitions)
def test_batches_may_be_cut_anywhere(first: list[Transition], second: list[Transition]) -> None:
    at_once = fold([*first, *second]).latest
    one_by_one = later(fold(first).latest, fold(second).latest)
    assert at_once.key == one_by_one.key


def test_the_chart_names_every_state_and_each_step_is_a_step_up() -> None:
    assert set(CHART) == set(RANKS) == set(STATES)
    for state, following in CHART.items():
        for other in following:
            attempt = 1 if (state, other) == ("retried", "sent") else 0
            assert later(made(state), made(other, attempt)).state == other
        assert state not in following
    assert {state for state, following in CHART.items() if not following} == ENDS - {"lost"}


def test_an_end_of_an_earlier_attempt_does_not_hide_the_next_attempt() -> None:
    assert later(made("sent", attempt=1), made("retried", attempt=0)).state == "sent"


def test_a_lost_task_may_still_end() -> None:
    assert later(made("lost"), made("succeeded")).state == "succeeded"
    assert later(made("succeeded"), made("lost")).state == "succeeded"


def test_what_the_writer_writes_can_be_read() -> None:
    entry = transition(
        "failed",
        "id",
        "name",
        attempt=2,
        queue="hooks",
        worker="w@h",
        correlation_id="c",
        parent_id="p",
        root_id="r",
        eta="2026-01-01T00:00:00+00:00",
        error_type="E",
        error="text\x00",
    )
    read = Transition.parse(orjson.dumps(entry))
    assert read.event_id == UUID(entry["event_id"])
    assert (read.task_id, read.name, read.state, read.attempt) == ("id", "name", "failed", 2)
    assert (read.queue, read.worker, read.correlation_id) == ("hooks", "w@h", "c")
    assert (read.parent_id, read.root_id, read.error_type, read.error) == ("p", "r", "E", "text ")
    assert read.due_at == EPOCH
    assert read.again is False


@pytest.mark.parametrize(
    "change",
    [
        {"state": "exploded"},
        {"state": None},
        {"state": ["sent"]},
        {"attempt": -1},
        {"attempt": "1"},
        {"attempt": True},
        {"attempt": 2**31},
        {"task_id": ""},
        {"task_id": None},
        {"task_id": 5},
        {"task_id": "x" * 600},
        {"event_id": "not-a-uuid"},
        {"event_id": None},
        {"at": None},
        {"at": "yesterday"},
        {"at": "2026-01-01T00:00:00"},
        {"queue": 7},
        {"eta": "soon"},
    ],
)
def test_what_is_wrong_is_refused_with_a_reason(change: dict[str, Any]) -> None:
    entry = {**transition("sent", "id", "name"), **change}
    with pytest.raises(ValueError, match=r"\w"):
        Transition.parse(orjson.dumps(entry))


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Transition.parse(raw)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["event_id", "task_id", "state", "attempt", "at", "name"]), inner)
        ),
    )
)
def test_no_json_raises_anything_else(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        Transition.parse(orjson.dumps(value))
