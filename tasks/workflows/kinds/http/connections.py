"""urllib3's connections, bound to addresses that were checked before, and to a point in time for everything.

A socket's timeout is for one call, so a server that sends a byte now and then is never late by it. Here each call
gets what is left of the whole time. Host, SNI and the certificate's check stay those of the URL's host.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection


@dataclass(frozen=True)
class Route:
    """Where to connect, and until when: ``connect_by`` and ``ends_at`` are on ``time.monotonic()``'s clock."""

    host: str
    port: int
    addresses: Sequence[str]
    connect_by: float
    ends_at: float


def left_s(until: float) -> float:
    """Seconds left. Raises TimeoutError where none are."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for the request is over")
    return left


class _TimedSocket(socket.socket):
    ends_at = float("inf")

    def recv_into(self, *arguments: Any, **named: Any) -> int:
        self.settimeout(left_s(self.ends_at))
        return super().recv_into(*arguments, **named)

    def sendall(self, *arguments: Any, **named: Any) -> None:
        self.settimeout(left_s(self.ends_at))
        super().sendall(*arguments, **named)


class _TimedTlsSocket(ssl.SSLSocket):
    ends_at = float("inf")

    def recv_into(self, *arguments: Any, **named: Any) -> int:
        self.settimeout(left_s(self.ends_at))
        return super().recv_into(*arguments, **named)

    def send(self, *arguments: Any, **named: Any) -> int:
        self.settimeout(left_s(self.ends_at))
        return super().send(*arguments, **named)


def tls_context() -> ssl.SSLContext:
    """Verifies certificates by the system's authorities (or ``SSL_CERT_FILE``'s); costs some milliseconds to make."""
    context = ssl.create_default_context()
    context.sslsocket_class = _TimedTlsSocket
    return context


def _connected(route: Route) -> socket.socket:
    """A connection to the first address that takes one. Raises the last OSError."""
    problem: OSError = OSError("the host has no address")
    for place, address in enumerate(route.addresses):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        raw = _TimedSocket(family, socket.SOCK_STREAM)
        try:
            raw.ends_at = route.ends_at
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # An address that is silent must leave time for the others.
            raw.settimeout(left_s(route.connect_by) / (len(route.addresses) - place))
            raw.connect((address, route.port))
            # The TLS handshake is one call with this as its limit.
            raw.settimeout(left_s(route.connect_by))
        except OSError as caught:
            raw.close()
            problem = caught
        except BaseException:
            raw.close()
            raise
        else:
            return raw
    raise problem


class _PinnedConnection(HTTPConnection):
    route: Route

    def _new_conn(self) -> socket.socket:
        return _connected(self.route)


class _PinnedTlsConnection(HTTPSConnection):
    route: Route

    def _new_conn(self) -> socket.socket:
        return _connected(self.route)


def connect(route: Route, tls: ssl.SSLContext | None) -> HTTPConnection:
    """A connection that is made; with ``tls``, encrypted and verified. Close it.

    Raises OSError (of which ``TimeoutError`` and ``ssl.SSLError`` are kinds) and urllib3's HTTPError.
    """
    connection: _PinnedConnection | _PinnedTlsConnection
    if tls is None:
        connection = _PinnedConnection(route.host, route.port)
    else:
        connection = _PinnedTlsConnection(route.host, route.port, ssl_context=tls)
    connection.route = route
    try:
        connection.connect()
        cast(_TimedSocket, connection.sock).ends_at = route.ends_at
    except BaseException:
        connection.close()
        raise
    return connection
