from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.workflows.definition.model import RetryPolicy


def test_delays_grow_up_to_the_greatest() -> None:
    policy = RetryPolicy(max_attempts=9, backoff_s=1, multiplier=2, max_backoff_s=5, jitter=0)
    assert [policy.delay_s(n, 0.7) for n in (1, 2, 3, 4)] == [1, 2, 4, 5]
    assert RetryPolicy(backoff_s=0).delay_s(50, 0.5) == 0
    assert RetryPolicy(multiplier=1).delay_s(50, 0) == 1
    assert RetryPolicy(multiplier=10).delay_s(5000, 0) == 60


@given(
    st.builds(
        RetryPolicy,
        st.integers(1, 100),
        st.floats(0, 3600),
        st.floats(1, 10),
        st.floats(0, 86_400),
        st.floats(0, 1),
    ),
    st.integers(1, 100_000),
    st.floats(0, 1),
)
def test_a_delay_is_never_negative_nor_too_long(policy: RetryPolicy, attempt: int, chance: float) -> None:
    assert 0 <= policy.delay_s(attempt, chance) <= policy.max_backoff_s


@pytest.mark.parametrize(
    ("on", "error", "attempt", "expected"),
    [
        ((), "Anything", 1, True),
        ((), "Anything", 3, False),
        (("Timeout",), "Timeout", 2, True),
        (("Timeout",), "timeout", 2, False),
        (("HTTP_5*", "Timeout"), "HTTP_503", 1, True),
        (("HTTP_5*",), "HTTP_404", 1, False),
    ],
)
def test_which_errors_are_retried(on: tuple[str, ...], error: str, attempt: int, expected: bool) -> None:
    assert RetryPolicy(on=on).retries(error, attempt) is expected
