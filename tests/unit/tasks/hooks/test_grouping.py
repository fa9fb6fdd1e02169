"""Group commit: who comes together shares, who comes alone does not wait, and nobody is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.hooks.grouping import GaveUp, Grouped


class Work:
    """Answers an item with its double; each call waits to be let through where ``held``."""

    def __init__(self, held: bool = False) -> None:
        self.calls: list[list[int]] = []
        self.began = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.held = held

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        self.began.release()
        if self.held:
            assert self.let.acquire(timeout=10)
        if -1 in items:
            raise ValueError("bad item")
        return [2 * item for item in items]


def waiting_for(grouped: Grouped[int, int], count: int) -> None:
    while len(grouped._waiting) < count:
        threading.Event().wait(0.001)


def test_one_alone_is_served_at_once() -> None:
    work = Work()
    grouped = Grouped(work, 10)
    assert [grouped(n, 1) for n in range(3)] == [0, 2, 4]
    assert work.calls == [[0], [1], [2]]


def test_those_that_come_while_one_works_share_the_next_call() -> None:
    work = Work(held=True)
    grouped = Grouped(work, 4)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(grouped, 1, 10)
        work.began.acquire(timeout=10)
        others = [pool.submit(grouped, n, 10) for n in range(2, 8)]
        waiting_for(grouped, 6)
        for _ in range(3):
            work.let.release()
        assert first.result(10) == 2
        assert sorted(other.result(10) for other in others) == [4, 6, 8, 10, 12, 14]
    assert [len(call) for call in work.calls] == [1, 4, 2]


def test_what_the_work_raises_each_of_the_group_raises_and_the_next_goes_on() -> None:
    work = Work(held=True)
    grouped = Grouped(work, 10)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(grouped, 1, 10)
        work.began.acquire(timeout=10)
        others = [pool.submit(grouped, n, 10) for n in (-1, 5)]
        waiting_for(grouped, 2)
        work.let.release()
        work.let.release()
        assert first.result(10) == 2
        for other in others:
            with pytest.raises(ValueError, match="bad item"):
                other.result(10)
        work.held = False
        assert pool.submit(grouped, 3, 10).result(10) == 6


def test_who_can_wait_no_longer_gives_up_and_is_told_whether_it_was_begun() -> None:
    work = Work(held=True)
    grouped = Grouped(work, 1)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(grouped, 1, 10)
        work.began.acquire(timeout=10)
        with pytest.raises(GaveUp) as caught:
            grouped(2, 0.01)
        assert caught.value.begun is False
        work.let.release()
        assert first.result(10) == 2
    assert work.calls == [[1]]


def test_of_a_group_that_is_under_way_it_may_still_be_done() -> None:
    work = Work(held=True)
    grouped = Grouped(work, 10)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(grouped, 1, 10)
        work.began.acquire(timeout=10)
        second, third = pool.submit(grouped, 2, 10), pool.submit(grouped, 3, 0.3)
        waiting_for(grouped, 2)
        work.let.release()
        work.began.acquire(timeout=10)
        if work.calls[1] == [2, 3]:
            with pytest.raises(GaveUp) as caught:
                third.result(10)
            assert caught.value.begun is True
        work.let.release()
        assert (first.result(10), second.result(10)) == (2, 4)


def test_under_many_threads_every_item_gets_its_own_answer() -> None:
    work = Work()
    grouped = Grouped(work, 5)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda n: grouped(n, 30), range(3000))) == [2 * n for n in range(3000)]
    assert sorted(item for call in work.calls for item in call) == list(range(3000))
    assert max(len(call) for call in work.calls) <= 5
