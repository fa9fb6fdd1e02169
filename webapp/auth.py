"""Decides who may call what: an API key or a JSON Web Token in a header, and the scope that the view asks for.

Every view says ``require(scope)`` or ``public``; one that says nothing is refused, so that a forgotten mark
closes a door rather than opening one. Keys in a query string are not looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, g, request

from tasks.access.model import Principal
from tasks.access.service import Request as Origin
from tasks.errors import BridgeError, Forbidden, Unauthorized
from webapp import limits
from webapp.blueprint import note
from webapp.services import services

log = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])


def require(scope: str) -> Callable[[View], View]:
    """Marks a view: only a key with ``scope`` may call it."""

    def decorator(view: View) -> View:
        note(view, "scopes", (scope,))
        return view

    return decorator


def public(view: View) -> View:
    """Marks a view: anyone may call it."""
    note(view, "scopes", ())
    return view


def unlimited(view: View) -> View:
    """Marks a view: probes and scrapers call it, and no rate limit counts them."""
    note(view, "limited", False)
    return view


def current_principal() -> Principal:
    """Who makes the current request. Only for views that ``require`` a scope."""
    principal: Principal = g.principal
    return principal


def install(app: Flask) -> None:
    """Checks every request of ``app`` before its body is read."""
    app.before_request(_authorize)


def _authorize() -> None:
    if request.endpoint is None:
        return
    marks = getattr(current_app.view_functions[request.endpoint], "_apidoc", {})
    scopes = marks.get("scopes")
    g.limited = marks.get("limited", True)
    if scopes == ():
        return
    try:
        principal = services().access.verify(_credential())
        g.principal = principal
        g.limit_key = f"key:{principal.id}"
        if scopes is None or not all(principal.may(scope) for scope in scopes):
            raise Forbidden(f"The caller {principal.name!r} lacks the scope {' '.join(scopes or ('admin',))}.")
    except (Unauthorized, Forbidden) as refusal:
        if isinstance(refusal, Unauthorized) and g.credential_given:
            limits.count_failed_login()
        limits.count_refusal()
        _record(refusal)
        raise


def _credential() -> str:
    given = request.headers.get("X-API-Key")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        given = token.strip()
    g.credential_given = bool(given)
    if not given:
        raise Unauthorized("Send an API key or a token as Authorization: Bearer, or a key as X-API-Key.")
    return given


def _record(refusal: BridgeError) -> None:
    principal = g.get("principal")
    actor = principal.name if principal else None
    services().access.refuse(refusal.code, origin(), actor=actor, detail=refusal.detail)


def origin() -> Origin:
    """Where the current request came from, for the audit log."""
    return Origin(address=request.remote_addr, method=request.method, path=request.path)
