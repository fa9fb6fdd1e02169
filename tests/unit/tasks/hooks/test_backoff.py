"""The wait between attempts: it grows, is capped, and is never the same for all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.hooks.handling import backoff_s
from tasks.settings import load_settings

SETTINGS = load_settings(
    {
        "DATABASE_URL": "postgresql://h/d",
        "REDIS_URL": "redis://h",
        "HOOK_BACKOFF_S": "2",
        "HOOK_BACKOFF_MAX_S": "60",
    }
)


@given(st.integers(1, 10_000))
def test_between_half_and_whole_of_the_capped_exponential(attempt: int) -> None:
    ceiling = min(60.0, 2.0 * 2.0 ** min(attempt - 1, 60))
    assert ceiling / 2 <= backoff_s(attempt, SETTINGS) <= ceiling


def test_there_is_jitter() -> None:
    assert len({backoff_s(3, SETTINGS) for _ in range(20)}) > 1
