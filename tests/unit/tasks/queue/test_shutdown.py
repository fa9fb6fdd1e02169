"""The shutdown flag: one byte that a child sees after its parent sets it."""

from __future__ import annotations

import os
import time

from tasks.queue import shutdown


def test_it_is_not_requested_until_it_is() -> None:
    shutdown.prepare()
    assert not shutdown.requested()
    assert shutdown.wait(0.01) is False
    shutdown.request()
    assert shutdown.requested()
    began = time.monotonic()
    assert shutdown.wait(5) is True
    assert time.monotonic() - began < 1
    shutdown.prepare()
    assert not shutdown.requested()


def test_a_child_sees_what_its_parent_sets_after_the_fork() -> None:
    shutdown.prepare()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"r")
        os._exit(0 if shutdown.wait(5) else 1)
    assert os.read(read, 1) == b"r"
    shutdown.request()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    shutdown.prepare()
