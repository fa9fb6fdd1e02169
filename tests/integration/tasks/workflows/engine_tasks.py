"""Step tasks that tests of the engine run."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

import psutil

from tasks.db.pool import Transaction
from tasks.workflows.attempt import Attempt, Refused
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.shapes import Field
from tasks.workflows.definition.specs import Number
from tasks.workflows.functions import step


@step("test.echo")
def echo(**arguments: Any) -> dict[str, Any]:
    """What it was given."""
    return arguments


@step("test.effect")
def effect(attempt: Attempt, value: Any = None) -> Any:
    """Counts itself in the table ``effects``, in the completing transaction."""

    def count(tx: Transaction) -> None:
        tx.execute("INSERT INTO effects (key) VALUES (%(key)s)", {"key": attempt.idempotency_key})

    attempt.effect(count)
    return value


@step("test.flaky", max_attempts=5)
def flaky(attempt: Attempt, until: int) -> int:
    """Fails before attempt ``until``."""
    if attempt.number < until:
        raise RuntimeError(f"attempt {attempt.number} fails; password=secret")
    return attempt.number


@step("test.refuse")
def refuse(detail: str = "no") -> None:
    """Fails for good."""
    raise Refused(detail)


@step("test.sleep")
def sleep(seconds: float) -> float:
    """Takes its time."""
    time.sleep(seconds)
    return seconds


@step("test.die")
def die(attempt: Attempt, until: int = 2) -> int:
    """Takes its process along before attempt ``until``."""
    if attempt.number < until:
        os.kill(os.getpid(), signal.SIGKILL)
    return attempt.number


@step("test.big")
def big(size: int) -> str:
    """A text of so many characters."""
    return "x" * size


@step("test.bad-effect")
def bad_effect(attempt: Attempt, until: int = 2) -> int:
    """Has an effect that PostgreSQL refuses before attempt ``until``."""
    value = "x" if attempt.number < until else "1"
    attempt.effect(lambda tx: tx.execute("SELECT %(value)s::integer", {"value": value}))
    return attempt.number


@step("test.slow-effect", max_attempts=50)
def slow_effect(attempt: Attempt, seconds: float, value: int = 1) -> int:
    """Takes its time, and then has its effect."""
    time.sleep(seconds)
    return int(effect(attempt, value))


@KINDS.kind("own", {"n": Field(Number(0, 100, whole=True, template=True), required=True)}, queue="own", slow=True)
def own(_attempt: Attempt, arguments: Mapping[str, Any]) -> int:
    """A user's kind, with a queue of its own."""
    return int(arguments["n"]) + 1


@step("test.spin")
def spin(seconds: float) -> float:
    """Needs a processor all the time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return seconds


@step("test.poison")
def poison(attempt: Attempt, how: str = "") -> str:
    """Does no harm, or what ``how`` says."""
    match how:
        case "odd":
            raise asyncio.CancelledError
        case "fork":
            if os.fork() == 0:
                return "this is another process"
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hungry":
            _eat_memory()
        case "exit":
            sys.exit("that was all")
        case "stuck":
            # In C, with the interpreter's lock, and deaf: no other thread of the process runs, no alarm is heard.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
            ctypes.PyDLL(None).sleep(60)
    return str(effect(attempt, how))


def _eat_memory() -> None:
    size = psutil.Process().memory_info().vms
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), before[1]))
    try:
        eaten = [bytearray(1 << 20) for _ in range(1000)]
        raise AssertionError(f"{len(eaten)} MiB were to be had")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
