"""The limit on calls holds over processes, outlives those that are killed, and bends while Redis is away."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.lab.administration import new_endpoint
from tasks.lab.model import Endpoint
from tasks.lab.slots import Slots
from tasks.settings import Settings
from tests.integration.conftest import ROOT, wait_until
from tests.integration.tasks.lab.conftest import Add
from tests.lab_server import Behaviour, Gate, LabServer

Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Start]:
    """Starts a process that asks the lab one question."""
    started: list[subprocess.Popen[bytes]] = []
    environ = {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "PYTHONPATH": str(ROOT),
        "LAB_SLOT_LEASE_S": "1.5",
    }

    def begin() -> subprocess.Popen[bytes]:
        command = [sys.executable, str(Path(__file__).with_name("lab_processes.py")), "hi", "60"]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait(10)


def test_the_limit_holds_over_processes_and_a_killed_ones_slot_is_freed_by_its_lease(
    lab_server: LabServer, add: Add, start: Start
) -> None:
    gate = Gate()
    lab_server.behave("m", Behaviour(gate=gate))
    add(lab_server, "a", max_concurrency=2)
    processes = [start() for _ in range(4)]
    wait_until(lambda: gate.inside == 2, 60)
    # Long past a lease: those that live keep their slots.
    held_until = time.monotonic() + 2.5
    wait_until(lambda: time.monotonic() > held_until)
    assert (gate.inside, len(lab_server.seen)) == (2, 2)
    holders = [process for process in processes if _has_connection(process, lab_server)]
    assert len(holders) == 2
    for process in holders:
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: len(lab_server.seen) == 4, 60)
    gate.opened.set()
    for process in processes:
        said, _ = process.communicate(timeout=60)
        assert said.decode().strip() == ("" if process in holders else "Hello, world")


def _has_connection(process: subprocess.Popen[bytes], server: LabServer) -> bool:
    port = f":{int(server.url.rsplit(':', 1)[1]):04X}"
    sockets = set()
    for one in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(one))
    lines = Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[2].endswith(port) and f"socket:[{line.split()[9]}]" in sockets for line in lines)


def _endpoint(limit: int) -> Endpoint:
    values = {"name": "x", "kind": "ollama", "url": "http://127.0.0.1:1", "tier": "tiny", "max_concurrency": limit}
    return new_endpoint(values)


def _taken(slots: Slots, endpoint: Endpoint, stack: contextlib.ExitStack) -> bool:
    return stack.enter_context(slots.one(endpoint))


def test_two_processes_share_one_limit(redis_url: str) -> None:
    one, other, endpoint = Slots(redis_url, 5, 4), Slots(redis_url, 5, 4), _endpoint(3)
    with contextlib.ExitStack() as held:
        assert [_taken(slots, endpoint, held) for slots in (one, one, other, other, one)] == [True] * 3 + [False] * 2
        assert one.in_use(endpoint.id) == other.in_use(endpoint.id) == 3
    assert one.in_use(endpoint.id) == 0
    assert redis.Redis.from_url(redis_url).keys("omninode:lab:*") == []


@pytest.mark.parametrize(("limit", "share"), [(8, 2), (3, 1), (1, 1)])
def test_without_redis_each_process_keeps_to_its_share(limit: int, share: int) -> None:
    slots, endpoint = Slots("redis://127.0.0.1:1", 5, 4), _endpoint(limit)
    for _ in range(2):
        with contextlib.ExitStack() as held:
            taken = [_taken(slots, endpoint, held) for _ in range(limit + 1)]
        assert sum(taken) == share
    assert slots.in_use(endpoint.id) is None


def test_redis_that_comes_back_learns_of_the_calls_under_way(redis_url: str, valkey_server: Any) -> None:
    slots, endpoint = Slots(redis_url, 1.0, 1), _endpoint(2)
    with contextlib.ExitStack() as held:
        valkey_server.kill()
        assert _taken(slots, endpoint, held)
        valkey_server.restart()
        wait_until(lambda: slots.in_use(endpoint.id) == 1, 20)
        other = Slots(redis_url, 1.0, 1)
        assert _taken(other, endpoint, held)
        assert not _taken(other, endpoint, held)
    wait_until(lambda: slots.in_use(endpoint.id) == 0, 20)
