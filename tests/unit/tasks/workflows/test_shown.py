from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.workflows.shown import attempts, with_values

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)


def told(*states: tuple[str, int] | tuple[str, int, str]) -> list[dict[str, Any]]:
    return [
        {
            "recorded_at": BEGIN + timedelta(seconds=at),
            "payload": {"state": state, "attempt": attempt, "error": error[0] if error else None},
        }
        for at, (state, attempt, *error) in enumerate(states)
    ]


def outcomes(journal: list[dict[str, Any]]) -> list[tuple[int, str | None, str | None]]:
    return [(one["attempt"], one["outcome"], one["error"]) for one in attempts(journal)]


def test_values_that_are_not_large_are_values() -> None:
    row = {"key": "a", "output": '{"x": [1, 2.5, "é"]}', "output_bytes": None, "arguments": None}
    shown = with_values(row, 100, "output", "arguments")
    assert shown == {"key": "a", "output": {"x": [1, 2.5, "é"]}, "arguments": None, "cut": []}


def test_a_large_value_is_cut_and_its_field_is_named() -> None:
    row = {"output": '"' + "x" * 400, "output_bytes": 5_000_000}
    assert with_values(row, 100, "output") == {
        "output": {"$cut": True, "bytes": 5_000_000, "begins": '"' + "x" * 199},
        "cut": ["output"],
    }


def test_a_value_that_looks_like_a_mark_is_not_named_as_cut() -> None:
    assert with_values({"output": '{"$cut": true}'}, 100, "output")["cut"] == []


def test_attempts_end_as_the_journal_says() -> None:
    journal = told(("ready", 0), ("running", 1), ("retrying", 1, "no"), ("running", 2), ("failed", 2, "again no"))
    assert outcomes(journal) == [(1, "retrying", "no"), (2, "failed", "again no")]
    [first, second] = attempts(journal)
    assert (first["started_at"], first["finished_at"]) == (BEGIN + timedelta(seconds=1), BEGIN + timedelta(seconds=2))
    assert second["finished_at"] == BEGIN + timedelta(seconds=4)


def test_an_attempt_under_way_has_no_outcome() -> None:
    assert outcomes(told(("running", 1))) == [(1, None, None)]
    assert outcomes([]) == []


def test_a_worker_that_was_not_heard_of_again_left_its_attempt() -> None:
    assert outcomes(told(("running", 1), ("running", 2), ("succeeded", 2))) == [
        (1, "lease_expired", None),
        (2, "succeeded", None),
    ]
    assert outcomes(told(("running", 1), ("ready", 0), ("running", 1))) == [(1, "released", None), (1, None, None)]


def test_waiting_is_part_of_the_attempt_that_waits() -> None:
    assert outcomes(told(("running", 1), ("waiting", 1), ("succeeded", 1))) == [(1, "succeeded", None)]
    assert outcomes(told(("running", 1), ("waiting", 1), ("running", 1), ("timed_out", 1))) == [
        (1, "timed_out", None)
    ]


def test_a_retry_of_the_run_counts_again() -> None:
    journal = told(("running", 1), ("failed", 1, "x"), ("ready", 0), ("running", 1), ("succeeded", 1))
    assert outcomes(journal) == [(1, "failed", "x"), (1, "succeeded", None)]


def test_a_step_that_never_ran_has_no_attempt() -> None:
    assert outcomes(told(("cancelled", 0))) == []
