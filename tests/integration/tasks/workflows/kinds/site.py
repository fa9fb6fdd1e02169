"""A web site of the test's own on the loopback: it says exactly the bytes that it is told to, as slowly as told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

Page = Callable[["Exchange"], None]


@dataclass
class Exchange:
    """A request that came, and the way to answer it. Names of headers are in lower case."""

    connection: socket.socket
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    closing: threading.Event

    def reply(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """Sends an answer with its length."""
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def raw(self, data: bytes) -> None:
        """Sends bytes."""
        self.connection.sendall(data)

    def drip(self, data: bytes, every_s: float) -> None:
        """Sends bytes one by one, until nobody listens."""
        for byte in data:
            if self.closing.wait(every_s):
                return
            self.raw(bytes([byte]))


@dataclass
class Site:
    """Pages by their paths. ``seen``: what was asked, in order."""

    pages: dict[str, Page] = field(default_factory=dict)
    seen: list[Exchange] = field(default_factory=list)
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Site:
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._listener.close()

    def page(self, path: str) -> Callable[[Page], Page]:
        """Adds a page."""

        def add(page: Page) -> Page:
            self.pages[path] = page
            return page

        return add

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a page."""
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        with contextlib.suppress(OSError), connection:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as lines:
                first = lines.readline()
                if first.count(b" ") != 2 or not first.endswith(b" HTTP/1.1\r\n"):
                    self._closing.wait(20)  # a TLS handshake, or nothing at all: no word comes back
                    return
                method, target, _ = first.decode().split()
                headers = {}
                while line := lines.readline().strip():
                    name, _, value = line.decode("latin-1").partition(":")
                    headers[name.lower()] = value.strip()
                body = lines.read(int(headers.get("content-length", 0)))
                exchange = Exchange(connection, method, target, headers, body, self._closing)
                self.seen.append(exchange)
                self.pages[target.partition("?")[0]](exchange)
