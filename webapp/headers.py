"""Sets the security headers of every response (OWASP's REST cheat sheet); a view may set a stricter or wider one.

As a WSGI middleware, where an answer's headers are a plain list: every answer passes here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_NAMES = frozenset(name for name, _ in _HEADERS)


def install(app: Flask) -> None:
    """Adds the headers to every response of ``app`` that does not have its own."""
    inner = app.wsgi_app

    def secured(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            own = {name.title() for name, _ in headers} & _NAMES
            headers.extend(_HEADERS if not own else (item for item in _HEADERS if item[0] not in own))
            return start_response(status, headers, *error)

        return inner(environ, start)

    app.wsgi_app = secured  # type: ignore[method-assign]
