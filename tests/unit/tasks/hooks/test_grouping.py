"""Group commit: who comes together shares, who comes alone does not wait, and nobody is forgotten."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
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


def test_after_a_round_of_several_the_next_begins_a_while_later_and_takes_all_that_came() -> None:
    began_at: list[float] = []

    def noted(items: Sequence[int]) -> list[int]:
        began_at.append(time.monotonic())
        return work(items)

    work = Work(held=True)
    grouped = Grouped(noted, 10, 0.5)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(grouped, 1, 10)]
        work.began.acquire(timeout=10)
        calls += [pool.submit(grouped, n, 10) for n in (2, 3)]
        waiting_for(grouped, 2)
        work.let.release()
        work.began.acquire(timeout=10)
        for _ in range(3):
            work.let.release()
        # Round two, of two, is over as soon as it was begun; what follows comes one by one.
        calls += [pool.submit(grouped, n, 10) for n in (4, 5)]
        assert [call.result(10) for call in calls] == [2, 4, 6, 8, 10]
    assert sorted(work.calls[1]) == [2, 3]
    assert sorted(work.calls[2]) == [4, 5]
    assert began_at[2] - began_at[1] >= 0.5


def test_after_a_round_of_one_nobody_is_held_up() -> None:
    work = Work()
    grouped = Grouped(work, 10, 60)
    assert [grouped(n, 1) for n in range(3)] == [0, 2, 4]


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
        hasty = pool.submit(grouped, 2, 1)
        waiting_for(grouped, 1)
        patient = pool.submit(grouped, 3, 10)
        waiting_for(grouped, 2)
        work.let.release()
        work.began.acquire(timeout=10)
        if work.calls[1] == [2, 3]:
            with pytest.raises(GaveUp) as caught:
                hasty.result(10)
            assert caught.value.begun is True
        work.let.release()
        assert (first.result(10), patient.result(10)) == (2, 6)


def test_under_many_threads_every_item_gets_its_own_answer() -> None:
    work = Work()
    grouped = Grouped(work, 5)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda n: grouped(n, 30), range(3000))) == [2 * n for n in range(3000)]
    assert sorted(item for call in work.calls for item in call) == list(range(3000))
    assert max(len(call) for call in work.calls) <= 5


def test_the_last_of_a_round_leads_it_since_it_has_the_most_time_left() -> None:
    leaders: list[int] = []
    began, let = threading.Semaphore(0), threading.Semaphore(0)
    at_hand = threading.local()

    def work(items: Sequence[int]) -> Sequence[int]:
        leaders.append(at_hand.item)
        began.release()
        assert let.acquire(timeout=10)
        return items

    grouped = Grouped(work, 2)

    def call(item: int) -> int:
        at_hand.item = item
        return grouped(item, 10)

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(call, 1)
        began.acquire(timeout=10)
        others = []
        for count, item in enumerate((2, 3, 4), 1):
            others.append(pool.submit(call, item))
            waiting_for(grouped, count)
        for _ in range(3):
            let.release()
        assert [one.result(10) for one in (first, *others)] == [1, 2, 3, 4]
    assert leaders == [1, 3, 4]


def test_those_who_send_one_after_the_other_do_not_wait_for_company_that_cannot_come() -> None:
    rounds: list[int] = []

    def commit(items: Sequence[int]) -> list[int]:
        rounds.append(len(items))
        threading.Event().wait(0.002)
        return [2 * item for item in items]

    grouped = Grouped(commit, 10, 1.0)
    left = iter(range(120))

    def client() -> None:
        # Were each round a second after the last one, this would take 40 s.
        for item in left:
            assert grouped(item, 10) == 2 * item

    with ThreadPoolExecutor(3) as pool:
        for one in [pool.submit(client) for _ in range(3)]:
            one.result(20)
    assert sum(rounds) == 120
    assert len(rounds) < 80


# As under gunicorn: greenlets, some of which are killed at shutdown.
CANCELLED = """
from gevent import monkey
monkey.patch_all()
import gevent
from gevent.event import Event
from tasks.hooks.grouping import GaveUp, Grouped

let, calls = Event(), []

def work(items):
    calls.append(list(items))
    let.wait()
    return items

def call(item):
    try:
        return grouped(item, 10)
    except GaveUp as problem:
        return problem

grouped = Grouped(work, 2)
first, *others = [gevent.spawn(call, item) for item in range(1, 10)]
gevent.sleep(0)
others[0].kill()                # 2 waits
assert calls == [[1]]
others[2].kill(block=False)     # 4 is to lead the next round by the time that it is killed
let.set()
gevent.joinall([first, others[1], *others[3:]], timeout=10, raise_error=True)
let.clear()
answers = [first.value, others[1].value, *(other.value for other in others[3:])]
assert answers == [1, 3, 5, 6, 7, 8, 9], answers
assert [4] not in calls and sorted(sum(calls, [])) == [1, 3, 5, 6, 7, 8, 9], calls

leader, neighbour = gevent.spawn(call, 21), None
gevent.sleep(0)
members = [gevent.spawn(call, item) for item in (22, 23)]
gevent.sleep(0)
leader.kill()                   # in the midst of its work; 23 leads the next round
gevent.sleep(0)
assert calls[-1] == [22, 23], calls
members[1].kill()
gevent.sleep(0)
assert isinstance(members[0].value, GaveUp) and members[0].value.begun, members[0].value
let.set()
assert gevent.spawn(call, 31).get(timeout=10) == 31

let.clear()
grouped = Grouped(work, 10, 0.5)
members = [gevent.spawn(call, item) for item in (41, 42, 43)]
gevent.sleep(0)
let.set()
gevent.joinall(members, timeout=10, raise_error=True)
assert calls[-1] == [42, 43], calls
leader, neighbour = gevent.spawn(call, 51), gevent.spawn(call, 52)
gevent.sleep(0)
leader.kill()                   # while it lets others gather
assert neighbour.get(timeout=10) == 52
assert calls[-1] == [52], calls
"""


def test_who_is_cancelled_takes_nobody_along() -> None:
    line = [sys.executable, "-c", CANCELLED]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
