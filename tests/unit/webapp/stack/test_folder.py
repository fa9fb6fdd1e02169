"""A stack's folder: ports that stay, and a state file for its owner alone."""

from __future__ import annotations

import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from webapp.stack.folder import PREFERRED_PORTS, StackFolder, ports_to_itself
from webapp.stack.servers import HOST, ServerError, free_port


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    return StackFolder.prepare(tmp_path / "stack")


def test_ports_are_distinct_and_stay_from_start_to_start(folder: StackFolder) -> None:
    first = folder.choose_ports({})
    assert set(first) == set(PREFERRED_PORTS)
    assert len(set(first.values())) == len(first)
    assert folder.choose_ports({}) == first


def test_a_port_that_was_asked_for_is_given_or_told_to_be_taken(folder: StackFolder) -> None:
    wanted = free_port()
    assert folder.choose_ports({"http": wanted})["http"] == wanted
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(ServerError, match=f"Port {taken} for http is taken"):
            folder.choose_ports({"http": taken})


def test_a_remembered_port_that_is_taken_now_is_replaced(folder: StackFolder) -> None:
    port = folder.choose_ports({"http": free_port()})["http"]
    with socket.socket() as other:
        other.bind((HOST, port))
        other.listen()
        said: list[str] = []
        instead = folder.choose_ports({}, said.append)["http"]
    assert instead != port
    assert said == [f"port {port} is taken by another program, http has {instead} instead"]


def test_the_state_file_is_replaced_whole_and_private(folder: StackFolder) -> None:
    folder.write_state({"url": "u", "pids": {"a": 1}})
    assert folder.read_state() == {"url": "u", "pids": {"a": 1}}
    assert folder.state_file.stat().st_mode & 0o777 == 0o600
    folder.state_file.write_text("{")
    assert folder.read_state() == {}


def test_one_start_waits_for_another_and_then_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    waited: list[float] = []
    with ExitStack() as first:
        first.enter_context(ports_to_itself(waited.append))

        def pause(seconds: float) -> None:
            waited.append(seconds)
            first.close()

        with ports_to_itself(pause):
            assert len(waited) == 1
    (tmp_path / "omninode-ports.lock").unlink()
    (tmp_path / "omninode-ports.lock").symlink_to(tmp_path / "elsewhere")
    with ports_to_itself(waited.append), ports_to_itself(waited.append):
        assert not (tmp_path / "elsewhere").exists()
