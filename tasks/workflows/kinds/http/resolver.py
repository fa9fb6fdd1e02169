"""Asks for the addresses of a host, within a time limit, which the system's own call does not have."""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from typing import Protocol


class Resolver(Protocol):
    """What finds addresses."""

    def addresses(self, host: str, port: int, timeout_s: float) -> list[str]:
        """The addresses of ``host``, the preferred first.

        Raises:
            TimeoutError: no answer within ``timeout_s``.
            OSError: there is no such host, or nobody who knows.
        """


class SystemResolver:
    """Asks as every program on this machine does (getaddrinfo(3)).

    The call can't be ended from outside: a thread that waits for it is left behind, until the system gives up.
    """

    def addresses(self, host: str, port: int, timeout_s: float) -> list[str]:
        """As ``Resolver`` says."""
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        answers: SimpleQueue[list[str] | OSError] = SimpleQueue()

        def ask() -> None:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                answers.put([str(where[4][0]) for where in found])
            except UnicodeError:
                answers.put(OSError(f"{host!r:.100} is no host's name"))
            except OSError as problem:
                answers.put(problem)

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        try:
            answer = answers.get(timeout=max(0.001, timeout_s))
        except Empty:
            raise TimeoutError("no answer from the resolver") from None
        if isinstance(answer, OSError):
            raise answer
        return list(dict.fromkeys(answer))
