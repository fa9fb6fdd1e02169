"""The blueprint that all endpoints use: strict arguments in, and an OpenAPI description of what can go wrong.

``problems`` names the errors of one operation; who may call it stands in ``webapp.auth``, and both are documented
here, so that the description can't fall behind the code.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar, cast

from flask_smorest import Blueprint
from marshmallow import Schema

from webapp.arguments import StrictParser

View = TypeVar("View", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

SECURITY: list[dict[str, list[str]]] = [{"bearerKey": []}, {"headerKey": []}]
CORRELATION_HEADER = {"X-Correlation-ID": {"$ref": "#/components/headers/CorrelationId"}}
LIMIT_HEADERS = {
    "RateLimit-Policy": {"$ref": "#/components/headers/RateLimitPolicy"},
    "RateLimit": {"$ref": "#/components/headers/RateLimit"},
}
_CORRELATION_PARAMETER = "CorrelationId"  # a reference to a component of webapp.api


def note(view: Callable[..., Any], key: str, value: Any) -> None:
    """Keeps ``value`` for the description of the operation that ``view`` answers."""
    view.__dict__["_apidoc"] = {**getattr(view, "_apidoc", {}), key: value}


def problems(*statuses: int) -> Callable[[View], View]:
    """Says that the operation can answer with a problem of these statuses, besides those of its access."""

    def decorator(view: View) -> View:
        note(view, "problems", statuses)
        return view

    return decorator


class ApiBlueprint(Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """A blueprint whose operations are documented with their access, limits, problems and headers."""

    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, name: str, *, description: str) -> None:
        super().__init__(name, __name__, description=description)
        self._prepare_doc_cbks.append(_describe)

    def route(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Answers ``rule`` with the view."""
        return cast(Callable[[View], View], super().route(rule, **options))

    def arguments(self, schema: Schema, **options: Any) -> Decorator:
        """Gives the view what ``schema`` loads from the body, or from the ``location`` that is named."""
        return cast(Decorator, super().arguments(schema, **options))

    def response(self, status_code: int, schema: Schema, **options: Any) -> Decorator:
        """Answers with ``status_code``, and with what ``schema`` dumps of the view's result."""
        return cast(Decorator, super().response(status_code, schema, **options))

    def alt_response(self, status_code: int, **options: Any) -> Decorator:
        """Says what else the view may answer."""
        return cast(Decorator, super().alt_response(status_code, **options))

    @staticmethod
    def doc(**options: Any) -> Decorator:
        """Adds to the description of the operation, word for word."""
        return cast(Decorator, Blueprint.doc(**options))


def _describe(doc: dict[str, Any], info: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    scopes = info.get("scopes", ())
    statuses = {*info.get("problems", ()), 500}
    headers = dict(CORRELATION_HEADER)
    if 413 in statuses:
        # What has a body may come too slowly.
        statuses.add(408)
    if scopes:
        doc["security"] = SECURITY
        doc["x-scopes"] = list(scopes)
        statuses |= {401, 403, 503}
    else:
        doc["security"] = []
    if info.get("limited", True):
        statuses.add(429)
        headers |= LIMIT_HEADERS
    responses = doc.setdefault("responses", {})
    # What ``doc`` says word for word is laid over all this later.
    by_hand = info.get("manual_doc", {}).get("responses", {})
    for response in (*responses.values(), *by_hand.values()):
        if isinstance(response, dict):
            response.setdefault("headers", {}).update(headers)
    for status in sorted(statuses):
        responses.setdefault(status, HTTPStatus(status).name)
    doc.setdefault("parameters", []).append(_CORRELATION_PARAMETER)
    return doc
