"""Which failures are worth another attempt, and how long a server may ask to be left alone."""

from __future__ import annotations

import pytest

from tasks.workflows.attempt import Refused, StepError, retries
from tasks.workflows.definition.model import RetryPolicy

ANY = RetryPolicy(max_attempts=3)
NAMED = RetryPolicy(max_attempts=3, on=("HttpStatus4*",))


@pytest.mark.parametrize(
    ("policy", "error", "worth"),
    [
        (ANY, StepError("x", error_type="Timeout"), True),
        (ANY, StepError("x", error_type="HttpStatus404", retryable=False), False),
        (NAMED, StepError("x", error_type="HttpStatus404", retryable=False), True),
        (NAMED, StepError("x", error_type="Timeout"), False),
        (NAMED, Refused("x", error_type="HttpStatus404"), False),
        (RetryPolicy(on=("*",)), Refused("x"), False),
    ],
)
def test_another_attempt_is_made_where_it_is_worth_it(policy: RetryPolicy, error: StepError, worth: bool) -> None:
    assert retries(policy, error, 1) is worth
    assert retries(policy, error, 3) is False


def test_a_server_can_ask_for_an_hour_at_most() -> None:
    assert StepError("x").retry_after_s is None
    assert StepError("x", retry_after_s=7).retry_after_s == 7
    assert StepError("x", retry_after_s=-1).retry_after_s == 0
    assert StepError("x", retry_after_s=1e9).retry_after_s == 3600


def test_an_error_has_its_class_as_its_type() -> None:
    assert StepError("x").error_type == "StepError"
    assert Refused("x").error_type == "Refused"
