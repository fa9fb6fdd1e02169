"""Parts are killed under load: what was acknowledged is there, handled once, told once, in order, soon."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.fault.system import RECOVERY_S, System
from webapp.cli.agreement import wait_until_settled
from webapp.cli.api import ApiRefused

LOAD_S = 6.0
HOOK = {"source": "probe", "action": "paid", "resource": "order", "resource_id": "1"}


@pytest.fixture(scope="module")
def system(server_folder: Path) -> Iterator[System]:
    folder = server_folder / "fault"
    folder.mkdir(mode=0o711)
    started = System(folder)
    yield started
    started.stop()


def kill_a_gunicorn_worker(system: System) -> None:
    system.children("gunicorn")[0].kill()


def kill_gunicorn(system: System) -> None:
    system.kill("gunicorn")


def kill_a_pool_child(system: System) -> None:
    system.children("worker")[0].kill()


def kill_the_worker(system: System) -> None:
    system.kill("worker")


def kill_relay_and_drain(system: System) -> None:
    for child in system.children("bridge_worker"):
        child.kill()


def kill_the_bridge_worker(system: System) -> None:
    system.kill("bridge_worker")


def kill_valkey(system: System) -> None:
    system.kill("valkey")


def flush_valkey(system: System) -> None:
    system.flush_redis()


def kill_the_broker(system: System) -> None:
    system.kill("kafka")


def kill_postgresql(system: System) -> None:
    system.kill("postgres")


def restart_postgresql(system: System) -> None:
    os.kill(system.pid("postgres"), signal.SIGINT)


FAULTS: list[Callable[[System], None]] = [
    kill_a_gunicorn_worker,
    kill_gunicorn,
    kill_a_pool_child,
    kill_the_worker,
    kill_relay_and_drain,
    kill_the_bridge_worker,
    kill_valkey,
    flush_valkey,
    kill_the_broker,
    kill_postgresql,
    restart_postgresql,
]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_is_lost_and_nothing_happens_twice(
    system: System, fault: Callable[[System], None], round_number: int, record_property: Callable[[str, object], None]
) -> None:
    outcome = system.under_load(lambda: fault(system), LOAD_S)
    line = f"{fault.__name__} {round_number}: {outcome}"
    record_property("outcome", line)
    print(line)
    assert outcome.settled, line
    assert outcome.recovery_s <= RECOVERY_S, line
    assert outcome.report.ok, str(outcome.report)
    assert outcome.wrong_effects == []
    assert outcome.tally.surprises == []


@pytest.mark.timeout(180)
def test_in_the_end_every_task_has_an_end(system: System) -> None:
    settled = wait_until_settled(system.db, 90, tasks=True)
    assert settled, settled.waiting_for


def _post_timed(system: System) -> tuple[str, float]:
    began = time.monotonic()
    try:
        system.client.post_hook(HOOK, f"probe-{time.time_ns()}", 0)
    except ApiRefused as problem:
        return str(problem.answer_status), time.monotonic() - began
    return "accepted", time.monotonic() - began


class _Frozen:
    """One part and its children, stopped (SIGSTOP) for a while."""

    def __init__(self, system: System, name: str) -> None:
        self._processes = [psutil.Process(system.pid(name)), *system.children(name)]

    def __enter__(self) -> None:
        for process in self._processes:
            process.suspend()

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.resume()


def test_with_valkey_frozen_hooks_are_accepted_within_a_second(system: System) -> None:
    with _Frozen(system, "valkey"):
        answers = [_post_timed(system) for _ in range(20)]
    assert {answer for answer, _ in answers} == {"accepted"}
    assert max(took_s for _, took_s in answers) < 1.0


def test_with_postgresql_frozen_nothing_is_accepted_and_503_comes_within_two_seconds(system: System) -> None:
    with _Frozen(system, "postgres"):
        answers = [_post_timed(system) for _ in range(3)]
    assert {answer for answer, _ in answers} == {"503"}
    assert max(took_s for _, took_s in answers) < 2.0
    settled = wait_until_settled(system.db, 60, tasks=False)
    assert settled, settled.waiting_for
