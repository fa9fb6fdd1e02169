"""One HTTP exchange that ends in time, whatever the server does: slow, silent, endless, or gone in the middle.

The socket's own timeout bounds one wait; a server that sends a byte now and then could go on for ever. Here every
single wait is cut to what is left of the clock. A connection serves one exchange: beside a model's seconds a new one
costs nothing, and none can be found dead. Redirects are answers like any other, and no proxy is looked for.
"""

from __future__ import annotations

import http.client
import io
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tasks.lab.errors import AttemptFailed, Cancelled

_PIECE_BYTES = 65_536
_LOOK_UP_S = 1.0
_ERROR_BODY_BYTES = 16_384


class Clock:
    """When an exchange has to end, and when the next sign of life is due, in seconds from now.

    ``patience_s`` bounds the wait for the first token, and then for each next one. ``share_s``: how long the first
    token is waited for where it would leave no time to ask another. ``cancelled`` is asked at least once a second.
    Not to be shared by threads.
    """

    def __init__(
        self,
        whole_s: float,
        patience_s: float,
        cancelled: Callable[[], bool] = lambda: False,
        share_s: float = math.inf,
    ) -> None:
        self.began = time.monotonic()
        self.first_at: float | None = None
        self._end = self.began + whole_s
        self._patience_s = patience_s
        self._share_s = share_s
        self._due = self.began + min(patience_s, share_s)
        self._cancelled = cancelled

    def alive(self) -> None:
        """A token came."""
        now = time.monotonic()
        if self.first_at is None:
            self.first_at = now
        self._due = now + self._patience_s

    def left_s(self) -> float:
        """Seconds until the next wait must end. Raises AttemptFailed where it should have ended, and Cancelled."""
        if self._cancelled():
            raise Cancelled
        now = time.monotonic()
        left = min(self._end, self._due) - now
        if left > 0:
            return left
        if now >= self._end:
            raise AttemptFailed("timed_out", "the deadline passed")
        if self.first_at is None and self._share_s < self._patience_s:
            raise AttemptFailed("too_slow", f"no token came within {self._share_s:.3g} s; time is left for another")
        if self.first_at is None:
            raise AttemptFailed("first_token_timeout", f"no token came within {self._patience_s:g} s")
        raise AttemptFailed("stalled", f"no further token came within {self._patience_s:g} s")

    def ms_since_start(self) -> float:
        """Milliseconds since the exchange began."""
        return (time.monotonic() - self.began) * 1000

    def first_token_ms(self) -> float | None:
        """Milliseconds from the beginning to the first token."""
        return None if self.first_at is None else (self.first_at - self.began) * 1000


@dataclass(frozen=True)
class Call:
    """A request to be: an absolute URL, headers, and a body (None: GET)."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    connect_timeout_s: float = 3.0
    max_bytes: int = 8 << 20


class Reply:
    """A server's answer whose head has come. ``pieces`` gives the body as it comes."""

    def __init__(self, raw: http.client.HTTPResponse, max_bytes: int) -> None:
        self.status = raw.status
        self.headers = raw.headers
        self._raw = raw
        self._left = max_bytes

    def pieces(self) -> Iterator[bytes]:
        """The body's bytes, each piece as soon as it is there.

        Raises AttemptFailed: too_large, hung_up, or what the clock says.
        """
        while True:
            piece = self._raw.read1(_PIECE_BYTES)
            if not piece:
                if self._raw.length:
                    raise AttemptFailed("hung_up", "the server hung up in the middle of its answer")
                return
            self._left -= len(piece)
            if self._left < 0:
                raise AttemptFailed("too_large", "the answer is larger than its limit")
            yield piece

    def all(self) -> bytes:
        """The whole body. Raises as ``pieces``."""
        return b"".join(self.pieces())

    def start_of_body(self) -> bytes:
        """At most 16 kB of an error's body; what does not come whole is left out."""
        found = b""
        try:
            for piece in self.pieces():
                found += piece
                if len(found) >= _ERROR_BODY_BYTES:
                    break
        except (AttemptFailed, OSError, http.client.HTTPException):
            return found[:_ERROR_BODY_BYTES]
        return found[:_ERROR_BODY_BYTES]


@contextmanager
def exchange(call: Call, clock: Clock) -> Iterator[Reply]:
    """Sends ``call`` and gives its reply; the connection is closed at the end of the block.

    Raises AttemptFailed: unreachable, connect_timeout, hung_up, bad_answer, and what the clock says.
    """
    connection = _connection(call, clock)
    try:
        with _told():
            _connect(connection, call, clock)
            target = urlsplit(call.url)
            path = (target.path or "/") + (f"?{target.query}" if target.query else "")
            headers = {"Connection": "close", "Accept-Encoding": "identity", **call.headers}
            connection.request("GET" if call.body is None else "POST", path, body=call.body, headers=headers)
            reply = Reply(connection.getresponse(), call.max_bytes)
            yield reply
    finally:
        _close(connection)


def _connection(call: Call, clock: Clock) -> http.client.HTTPConnection:
    target = urlsplit(call.url)
    host = target.hostname or ""
    timeout_s = min(call.connect_timeout_s, clock.left_s())
    if target.scheme == "https":
        return http.client.HTTPSConnection(host, target.port, timeout=timeout_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, target.port, timeout=timeout_s)


def _connect(connection: http.client.HTTPConnection, call: Call, clock: Clock) -> None:
    try:
        connection.connect()
    except TimeoutError:
        clock.left_s()
        raise AttemptFailed("connect_timeout", f"no connection within {call.connect_timeout_s:g} s") from None
    except ssl.SSLError as problem:
        raise AttemptFailed("unreachable", f"TLS: {problem.reason or type(problem).__name__}") from problem
    except OSError as problem:
        raise AttemptFailed("unreachable", problem.strerror or type(problem).__name__) from problem
    connection.sock = _TimedSocket(connection.sock, clock)


def _close(connection: http.client.HTTPConnection) -> None:
    wrapped: Any = connection.sock
    if isinstance(wrapped, _TimedSocket):
        wrapped.really_close()
    connection.close()


@contextmanager
def _told() -> Iterator[None]:
    """Says in our words what broke."""
    try:
        yield
    except (http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionError) as problem:
        raise AttemptFailed("hung_up", f"the server hung up ({type(problem).__name__})") from problem
    except http.client.HTTPException as problem:
        raise AttemptFailed("bad_answer", f"not valid HTTP ({type(problem).__name__})") from problem
    except OSError as problem:
        raise AttemptFailed("hung_up", f"the connection broke ({type(problem).__name__})") from problem


class _TimedSocket:
    """What http.client needs of a socket; every wait ends when the clock says so."""

    def __init__(self, raw: socket.socket, clock: Clock) -> None:
        self._raw = raw
        self._clock = clock

    def sendall(self, data: Any) -> None:
        """Sends all of ``data``."""
        self._raw.settimeout(self._clock.left_s())
        try:
            self._raw.sendall(data)
        except TimeoutError:
            self._clock.left_s()
            raise

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """A reader of what comes."""
        return io.BufferedReader(_TimedReader(self._raw, self._clock), _PIECE_BYTES)

    def close(self) -> None:
        """Nothing yet: http.client closes a socket whose answer is still being read."""

    def really_close(self) -> None:
        """Closes the connection."""
        self._raw.close()


class _TimedReader(io.RawIOBase):
    """Reads a socket, never longer than the clock allows."""

    def __init__(self, raw: socket.socket, clock: Clock) -> None:
        self._raw = raw
        self._clock = clock

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """What has come, at least a byte; 0 at the end."""
        while True:
            self._raw.settimeout(min(_LOOK_UP_S, self._clock.left_s()))
            try:
                return self._raw.recv_into(buffer)
            except TimeoutError:
                continue
