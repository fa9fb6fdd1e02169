"""Sends a request where the settings let it go, follows redirects, and says how it failed.

Every hop is checked anew: the host by the allow-list, then each of its addresses; the connection goes to an address
that was checked, so a name that means another address a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import DecodeError, HTTPError

from tasks.runtime import Runtime
from tasks.settings import Settings
from tasks.workflows.attempt import Refused, StepError
from tasks.workflows.kinds.http.addresses import is_public, may_be_called
from tasks.workflows.kinds.http.answer import Answer, read_answer
from tasks.workflows.kinds.http.connections import Route, connect, left_s, tls_context
from tasks.workflows.kinds.http.destination import Destination
from tasks.workflows.kinds.http.redirects import REDIRECTS, Request, redirected
from tasks.workflows.kinds.http.resolver import Resolver, SystemResolver

_MOST_ADDRESSES = 8
_BROKEN = (HTTPError, http.client.HTTPException, OSError)


@dataclass(frozen=True)
class Bounds:
    """``ends_at`` is on ``time.monotonic()``'s clock; ``connect_s`` is for each hop, and for asking its addresses."""

    ends_at: float
    connect_s: float = 10.0
    max_redirects: int = 5
    max_bytes: int = 4 << 20


class HttpClient:
    """Knows what may be called. It keeps no connections between requests, and asks no proxy."""

    def __init__(
        self,
        settings: Settings,
        *,
        resolver: Resolver | None = None,
        tls: Callable[[], ssl.SSLContext] = tls_context,
    ) -> None:
        self._allowed_hosts = settings.workflow_http_allowed_hosts
        self._allowed_networks = settings.workflow_http_allow_private
        self._resolver = resolver or SystemResolver()
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None

    def close(self) -> None:
        """There is nothing to close."""

    def send(self, request: Request, bounds: Bounds, *, is_final: Callable[[int], bool]) -> Answer:
        """The answer at the end of the redirects; one whose status ``is_final`` is not followed, though it be one.

        Raises:
            Refused: the settings do not let it go there, or to where a redirect leads.
            StepError: it got no answer, or one beyond its bounds.
        """
        for _hop in range(bounds.max_redirects + 1):
            answer = self._exchange(request, bounds)
            location = answer.headers.get("location")
            if answer.status not in REDIRECTS or location is None or is_final(answer.status):
                return answer
            if not bounds.max_redirects:
                return answer
            request = redirected(request, answer.status, location)
        raise StepError(
            f"There were more than {bounds.max_redirects} redirects.", error_type="TooManyRedirects", retryable=False
        )

    def _exchange(self, request: Request, bounds: Bounds) -> Answer:
        where = request.destination
        connect_by = min(bounds.ends_at, time.monotonic() + bounds.connect_s)
        try:
            addresses = self._checked_addresses(where, connect_by)
            if request.secret_headers and where.scheme == "http" and any(map(is_public, addresses)):
                raise Refused(f"No secret is sent to {where.host} without TLS.", error_type="SecretNotAllowed")
            route = Route(where.host, where.port, addresses, connect_by, bounds.ends_at)
            connection = self._connected(route, where)
            try:
                return self._answer(connection, request, bounds.max_bytes)
            finally:
                connection.close()
        except _BROKEN as problem:
            raise _failed(problem, where, bounds) from None

    def _checked_addresses(self, where: Destination, connect_by: float) -> list[str]:
        if not where.is_among(self._allowed_hosts):
            raise Refused(f"WORKFLOW_HTTP_ALLOWED_HOSTS does not allow {where.host}.", error_type="HostNotAllowed")
        try:
            addresses = self._resolver.addresses(where.host, where.port, left_s(connect_by))
        except TimeoutError:
            raise
        except OSError:
            raise StepError(f"The host {where.host} is not known.", error_type="HostUnknown") from None
        # One that may not be called is reason enough: which one is taken would be left to chance.
        if not all(may_be_called(address, self._allowed_networks) for address in addresses):
            detail = f"{where.host} is at no public address, and WORKFLOW_HTTP_ALLOW_PRIVATE does not allow it."
            raise Refused(detail, error_type="AddressNotAllowed")
        return addresses[:_MOST_ADDRESSES]

    def _connected(self, route: Route, where: Destination) -> HTTPConnection:
        try:
            return connect(route, self._context() if where.scheme == "https" else None)
        except ssl.SSLCertVerificationError as problem:
            raise StepError(
                f"The certificate of {where.host} is not good: {problem.verify_message}.",
                error_type="CertificateInvalid",
                retryable=False,
            ) from None

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = self._make_tls()
        return self._tls

    @staticmethod
    def _answer(connection: HTTPConnection, request: Request, max_bytes: int) -> Answer:
        try:
            connection.request(
                request.method,
                request.destination.target,
                body=request.body,
                headers=request.headers,
                preload_content=False,
                decode_content=True,
            )
        except BrokenPipeError:
            pass  # it may have answered before it had heard all
        except ValueError as problem:
            raise Refused(
                f"The request can't be sent: {type(problem).__name__}.", error_type="InvalidRequest"
            ) from None
        return read_answer(connection.getresponse(), max_bytes)


def client_of(runtime: Runtime) -> HttpClient:
    """The client of this process."""
    return runtime.kept(_client)


def _client(runtime: Runtime) -> HttpClient:
    return HttpClient(runtime.settings)


def _failed(problem: Exception, where: Destination, bounds: Bounds) -> StepError:
    """The failure in words that hold no address and nothing of the URL but its host."""
    what = type(problem).__name__
    if isinstance(problem, TimeoutError | urllib3.exceptions.TimeoutError):
        if time.monotonic() < bounds.ends_at - 0.01:
            return StepError(f"{where.host} took too long to connect.", error_type="ConnectTimeout")
        return StepError(f"{where.host} took longer than the time for the request.", error_type="Timeout")
    if isinstance(problem, DecodeError):
        return StepError(f"The answer of {where.host} is not compressed as it says.", error_type="BadAnswer")
    if isinstance(problem, http.client.HTTPException):
        return StepError(f"{where.host} does not answer as HTTP says ({what}).", error_type="BadAnswer")
    return StepError(f"The connection to {where.host} failed ({what}).", error_type="ConnectionFailed")
