"""What a redirect makes of a request (RFC 9110, section 15.4): pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tasks.journal.model import names_secret
from tasks.workflows.attempt import Refused
from tasks.workflows.kinds.http.destination import Destination

REDIRECTS = frozenset({301, 302, 303, 307, 308})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_OF_CONTENT = frozenset(
    {"content-type", "content-encoding", "content-language", "content-location", "idempotency-key"}
)


@dataclass(frozen=True)
class Request:
    """A request. Names of headers are in lower case; ``secret_headers``: those whose values are secrets."""

    method: str
    destination: Destination
    headers: Mapping[str, str]
    body: bytes | None = None
    secret_headers: frozenset[str] = frozenset()


def redirected(request: Request, status: int, location: str) -> Request:
    """The request that follows an answer of ``status`` with this ``Location``.

    303, and 301 and 302 after a POST, become a GET without content. To another origin no credential goes along: no
    secret, no ``Authorization`` or ``Cookie``, no header whose name says that it is one.

    Raises:
        Refused: it leads from https to http, or to no URL.
    """
    where = request.destination.joined(location)
    if request.destination.scheme == "https" and where.scheme == "http":
        raise Refused("A redirect leads from https to http.", error_type="InsecureRedirect")
    method, body, headers = request.method, request.body, dict(request.headers)
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers = {name: value for name, value in headers.items() if name not in _OF_CONTENT}
    if where.origin != request.destination.origin:
        headers = {name: value for name, value in headers.items() if not _is_credential(name, request)}
    return replace(
        request,
        method=method,
        destination=where,
        headers=headers,
        body=body,
        secret_headers=request.secret_headers & headers.keys(),
    )


def _is_credential(name: str, request: Request) -> bool:
    return name in request.secret_headers or name in _CREDENTIALS or names_secret(name)
