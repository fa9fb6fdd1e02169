"""The embedded stack as a user meets it: up, a webhook, killed, up again with its data, down."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from webapp.stack.supervisor import MARKER

UP_WITHIN_S = 90
PIDS = {
    "up",
    "supervisor",
    "postgres",
    "valkey",
    "kafka",
    "gunicorn",
    "worker",
    "lab_worker",
    "bridge_worker",
    "beat",
    "flower",
}


class StackUser:
    """Somebody at a terminal in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """``omninode ARGUMENTS --data-dir …``."""
        line = [sys.executable, "-m", "webapp.stack", *arguments, "--data-dir", str(self.data)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=UP_WITHIN_S, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    @property
    def state(self) -> dict[str, Any]:
        """What stack.json says."""
        return dict(json.loads((self.data / "stack.json").read_text()))

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request with the stack's key."""
        request = urllib.request.Request(
            self.state["url"] + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.state['api_key']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.load(answer))

    def processes(self) -> list[psutil.Process]:
        """What still runs of this stack."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(self.data) in " ".join(process.cmdline()) or process.environ().get(MARKER) == str(self.data):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


def wait_until(condition: Callable[[], bool], within_s: float) -> None:
    """Looks again and again; fails when it takes longer."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


@pytest.fixture
def user(server_folder: Path) -> Iterator[StackUser]:
    folder = server_folder / "stack-user"
    folder.mkdir(mode=0o711, exist_ok=True)
    made = StackUser(folder)
    yield made
    made.command("down", check=False)
    assert made.processes() == []


def _post(user: StackUser) -> str:
    body = {"source": "shop", "action": "startup", "resource": "service", "resource_id": "shop-1"}
    return str(user.call("/hooks", body)["event_id"])


def _is_handled(user: StackUser, hook_id: str) -> bool:
    return bool(user.call(f"/hooks/{hook_id}")["state"] == "handled")


@pytest.mark.timeout(300)
def test_up_kill_up_down(user: StackUser) -> None:
    shown = user.command("up", "--detach").stdout
    state = user.state
    for part in (state["url"], state["api_key"], state["flower_url"], "/hooks", "topics tail"):
        assert part in shown
    assert set(state) == {"url", "api_key", "database", "redis", "kafka", "flower_url", "pids"}
    assert set(state["pids"]) == PIDS
    assert (user.data / "stack.json").stat().st_mode & 0o777 == 0o600
    hook_id = _post(user)
    wait_until(lambda: _is_handled(user, hook_id), 20)

    second = user.command("up", "--detach", check=False)
    assert second.returncode != 0
    assert "runs already" in second.stderr

    worker = state["pids"]["worker"]
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: user.state["pids"].get("worker", worker) != worker, 20)

    os.kill(state["pids"]["up"], signal.SIGKILL)
    os.kill(state["pids"]["supervisor"], signal.SIGKILL)
    user.command("up", "--detach", "--no-flower")
    assert user.state["api_key"] == state["api_key"]
    assert _is_handled(user, hook_id)
    again = _post(user)
    wait_until(lambda: _is_handled(user, again), 30)

    up = psutil.Process(user.state["pids"]["up"])
    up.send_signal(signal.SIGINT)
    up.send_signal(signal.SIGINT)
    up.wait(60)
    wait_until(lambda: user.processes() == [], 10)
    assert not (user.data / "stack.json").exists()
    assert "Nothing runs" in user.command("down").stdout


@pytest.mark.timeout(180)
def test_of_two_that_start_at_once_one_does_and_the_other_says_why(user: StackUser) -> None:
    line = [sys.executable, "-m", "webapp.stack", "up", "--detach", "--no-flower", "--data-dir", str(user.data)]
    both = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [process.communicate(timeout=UP_WITHIN_S)[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    [loser] = [text for process, text in zip(both, said, strict=True) if process.returncode]
    assert "at work" in loser or "runs already" in loser
    hook_id = _post(user)
    wait_until(lambda: _is_handled(user, hook_id), 20)


@pytest.mark.timeout(120)
def test_a_start_can_be_interrupted_and_leaves_nothing(user: StackUser) -> None:
    line = [sys.executable, "-m", "webapp.stack", "up", "--no-flower", "--data-dir", str(user.data)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for said in process.stdout:
            if "valkey" in said:
                process.send_signal(signal.SIGINT)
                process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    wait_until(lambda: user.processes() == [], 10)
    assert not (user.data / "stack.json").exists()


def test_a_taken_port_is_told(user: StackUser) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = user.command("up", "--port", str(port), check=False)
    assert done.returncode == 1
    assert f"Port {port} for http is taken" in done.stderr


def test_a_reader_that_goes_away_stops_it_cleanly(user: StackUser) -> None:
    """As a terminal that is closed: the next word that it would say has nobody to hear it."""
    line = [sys.executable, "-m", "webapp.stack", "up", "--no-flower", "--data-dir", str(user.data)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 128 + signal.SIGHUP
    assert user.processes() == []
    assert not (user.data / "stack.json").exists()


def test_a_server_that_does_not_start_is_told_soon_with_the_end_of_its_log(user: StackUser) -> None:
    rotten = user.data / "valkey" / "appendonlydir"
    shutil.rmtree(rotten, ignore_errors=True)
    rotten.mkdir(parents=True)
    (rotten / "appendonly.aof.manifest").write_text("rotten")
    began = time.monotonic()
    done = user.command("up", "--no-flower", check=False)
    assert time.monotonic() - began < 45
    assert done.returncode == 1
    assert "valkey does not start" in done.stderr
    assert "manifest" in done.stderr.split("The end of ")[1]
    shutil.rmtree(rotten)
