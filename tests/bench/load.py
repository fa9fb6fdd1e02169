"""Posts requests over kept-alive connections from one thread, at a cost of some 30 µs a request.

It shares the machine with what it measures, so requests are built beforehand but for their number, and of an answer
only the status and the length are read. ``closed`` sends the next request when an answer is there; ``paced`` sends
by the clock, and counts latency from when a request was due, not from when it could be sent (or a server that stalls
would be asked less while it stalls: "coordinated omission").

Connections are opened one by one, 10 ms apart, as those of independent senders come. Opened in one burst, all 32 may
land in one of gunicorn's two processes, whichever woke first: that halves every server's rate, at random.
"""

from __future__ import annotations

import gc
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.bench.model import BenchError

_READ_BYTES = 65_536
_PATIENCE_S = 10.0
_READ_BY_S = 0.05
_OPEN_EVERY_S = 0.01
_ACCEPTED = 202

OnAnswer = Callable[[float, float, bytes], None]
"""Is told when a request was due and when it was sent (monotonic, s), and the whole answer to it."""


@dataclass
class Tally:
    """What came back. ``seconds`` is the time measured, without the warm-up; ``latencies_ms`` are sorted."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu_s: float = 0.0
    sent: int = 0
    reconnects: int = 0

    @property
    def accepted_in_all(self) -> int:
        """Answers 202, those of the warm-up included."""
        return self.statuses[_ACCEPTED]

    def check(self) -> None:
        """Raises BenchError where anything but 202 came back."""
        others = {status: count for status, count in self.statuses.items() if status != _ACCEPTED}
        if others or not self.latencies_ms:
            raise BenchError(f"not every request was accepted: {dict(self.statuses)} (status 0 is no answer)")

    def sample(self) -> dict[str, float]:
        """The figures of the run."""
        return {
            "requests_per_s": len(self.latencies_ms) / self.seconds,
            "p50_ms": self.percentile_ms(0.50),
            "p99_ms": self.percentile_ms(0.99),
            "client_cpu_percent": 100 * self.cpu_s / self.seconds,
        }

    def percentile_ms(self, share: float) -> float:
        """The latency that ``share`` of the requests kept to."""
        return percentile(self.latencies_ms, share)


def percentile(ordered: list[float], share: float) -> float:
    """The value at ``share`` (0 to 1) of a sorted list, by the nearest rank."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Hooks:
    """Makes POST requests that differ in Idempotency-Key and in body, for one run of one side."""

    def __init__(self, port: int, run: str, headers: dict[str, str] | None = None) -> None:
        self.port = port
        self.source = f"bench-{run}"
        body = (
            f'{{"source":"{self.source}","action":"startup","resource":"service","resource_id":"{run}-%012d",'
            '"version":"1.4.2","environment":"production","data":{"host":"10.0.3.17","port":8080,"region":"eu-west-1",'
            '"tags":["blue","canary"],"load":0.42}}'
        )
        length = len(body % 0)
        extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = (
            f"POST /hooks HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {run}-%012d\r\n{extra}Content-Length: {length}\r\n\r\n"
        )
        self._template = (head.encode() if "%" not in extra else _refuse(extra)) + body.encode()

    def request(self, number: int) -> bytes:
        """Request ``number`` of the run."""
        return self._template % (number, number)


def closed(hooks: Hooks, connections: int, seconds: float, warm_up_s: float = 0.5) -> Tally:
    """As many requests as the server takes, over ``connections`` at once, for ``seconds`` after the warm-up."""
    return _Load(hooks, connections, warm_up_s, None).run(seconds)


def paced(
    hooks: Hooks, connections: int, seconds: float, per_s: float, on_answer: OnAnswer, warm_up_s: float = 0.5
) -> Tally:
    """``per_s`` requests a second, evenly spaced."""
    return _Load(hooks, connections, warm_up_s, per_s, on_answer).run(seconds)


class _Connection:
    __slots__ = ("answer", "due", "sent", "socket")

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.due = self.sent = 0.0
        self.answer = b""


class _Load:
    def __init__(
        self,
        hooks: Hooks,
        connections: int,
        warm_up_s: float,
        per_s: float | None,
        on_answer: OnAnswer | None = None,
    ) -> None:
        self._hooks = hooks
        self._warm_up_s = warm_up_s
        self._gap_s = None if per_s is None else 1.0 / per_s
        self._on_answer = on_answer
        self._selector = selectors.DefaultSelector()
        self._tally = Tally()
        self._idle = deque(self._open() for _ in range(connections))
        self._busy: set[_Connection] = set()
        self._next_due = 0.0
        self._began = 0.0

    def run(self, seconds: float) -> Tally:
        gc.disable()
        try:
            self._run(seconds)
        finally:
            gc.enable()
            for connection in (*self._idle, *self._busy):
                connection.socket.close()
            self._selector.close()
        self._tally.latencies_ms.sort()
        return self._tally

    def _run(self, seconds: float) -> None:
        start = self._next_due = time.monotonic()
        self._began = start + self._warm_up_s
        end = self._began + seconds
        cpu_s = time.process_time()
        while (now := time.monotonic()) < end:
            self._send_what_is_due(now)
            # The first answers of a slow start may take longer than a short run: it lasts until one was measured.
            if now + _READ_BY_S > end and not self._tally.latencies_ms and now < start + _PATIENCE_S:
                end = now + 2 * _READ_BY_S
            self._receive(min(end, self._next_due if self._gap_s and self._idle else end) - now)
        self._tally.seconds = time.monotonic() - self._began
        self._tally.cpu_s = (time.process_time() - cpu_s) * self._tally.seconds / (time.monotonic() - start)
        self._finish()

    def _send_what_is_due(self, now: float) -> None:
        while self._idle and (self._gap_s is None or self._next_due <= now):
            due = now if self._gap_s is None else self._next_due
            self._next_due += self._gap_s or 0.0
            self._send(self._idle.popleft(), due)

    def _send(self, connection: _Connection, due: float) -> None:
        connection.due = due
        connection.sent = time.monotonic()
        connection.answer = b""
        self._tally.sent += 1
        self._busy.add(connection)
        connection.socket.send(self._hooks.request(self._tally.sent))

    def _receive(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(max(0.0, timeout_s)):
            connection: _Connection = key.data
            try:
                got = connection.socket.recv(_READ_BYTES)
            except OSError:
                got = b""
            if not got:
                self._reopen(connection)
                continue
            connection.answer = connection.answer + got if connection.answer else got
            status = _status_if_whole(connection.answer)
            if status:
                self._answered(connection, status)

    def _answered(self, connection: _Connection, status: int) -> None:
        now = time.monotonic()
        tally = self._tally
        tally.statuses[status] += 1
        if connection.due >= self._began and tally.seconds == 0.0:
            tally.latencies_ms.append((now - connection.due) * 1000)
        if self._on_answer is not None:
            self._on_answer(connection.due, connection.sent, connection.answer)
        self._busy.discard(connection)
        self._idle.append(connection)

    def _finish(self) -> None:
        """Waits for the answers under way: each request is answered, or counted as not."""
        deadline = time.monotonic() + _PATIENCE_S
        while self._busy and time.monotonic() < deadline:
            self._receive(0.1)
        self._tally.statuses[0] += len(self._busy)
        self._tally.statuses = +self._tally.statuses

    def _reopen(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        self._tally.reconnects += 1
        if connection in self._busy:
            # Whether it was accepted nobody knows.
            self._busy.discard(connection)
            self._tally.statuses[0] += 1
        else:
            self._idle.remove(connection)
        self._idle.append(self._open())

    def _open(self) -> _Connection:
        opened = socket.create_connection(("127.0.0.1", self._hooks.port), 10)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        time.sleep(_OPEN_EVERY_S)
        connection = _Connection(opened)
        self._selector.register(opened, selectors.EVENT_READ, connection)
        return connection


def _status_if_whole(answer: bytes) -> int:
    """The status of an answer that is all there, else 0. Chunked answers are not read."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return 0
    at = answer.find(b"ontent-Length: ", 0, head)
    if at < 0:
        at = answer.lower().find(b"ontent-length: ", 0, head)
        if at < 0:
            raise BenchError(f"an answer without a length: {answer[:200]!r}")
    length = int(answer[at + 15 : answer.find(b"\r\n", at)])
    return int(answer[9:12]) if len(answer) >= head + 4 + length else 0


def _refuse(extra: str) -> bytes:
    raise ValueError(f"a header with a percent sign: {extra!r}")
