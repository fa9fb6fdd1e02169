"""The size of a batch follows the load."""

from __future__ import annotations

from tasks.hooks.batching import BatchSize


def test_it_grows_under_a_backlog_up_to_its_limit() -> None:
    size = BatchSize(100)
    seen = []
    for _ in range(6):
        seen.append(size.rows)
        size.learn(size.rows, 0.01)
    assert seen == [8, 16, 32, 64, 100, 100]


def test_it_shrinks_when_little_comes() -> None:
    size = BatchSize(100)
    for _ in range(6):
        size.learn(size.rows, 0.01)
    for _ in range(6):
        size.learn(1, 0.01)
    assert size.rows == 8


def test_it_shrinks_down_to_one_when_each_takes_long() -> None:
    size = BatchSize(100)
    for _ in range(6):
        size.learn(size.rows, 2.0)
    assert size.rows == 1
    size.learn(1, 0.01)
    assert size.rows == 2


def test_a_small_limit_is_kept() -> None:
    size = BatchSize(3)
    for _ in range(3):
        assert size.rows == 3
        size.learn(3, 0.01)
