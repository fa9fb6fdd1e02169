"""Serves the index, the OpenAPI description and Swagger UI, all from this machine: no network is needed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, current_app, request, send_from_directory
from swagger_ui_bundle import swagger_ui_path

from webapp.auth import public

blueprint = Blueprint("docs", __name__)

_OWN = Path(str(files("webapp.docs"))) / "static"
_ASSETS = {
    "docs.css": _OWN,
    "docs.js": _OWN,
    "favicon-32x32.png": Path(swagger_ui_path),
    "swagger-ui.css": Path(swagger_ui_path),
    "swagger-ui-bundle.js": Path(swagger_ui_path),
}
# Swagger UI sets style attributes, and draws its icons from data URLs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@blueprint.get("/")
@public
def index() -> dict[str, Any]:
    """What is here."""
    here = request.script_root
    places = ("hooks", "tasks", "health", "metrics", "docs", "openapi.json")
    return {
        "service": "omninode-bridge",
        "message": "Webhooks in, handled jobs and mirrored state out. Send an API key as Authorization: Bearer.",
        "links": {place.partition(".")[0]: f"{here}/{place}" for place in places},
    }


@blueprint.get("/openapi.json")
@public
def openapi() -> Response:
    """The OpenAPI description of this API."""
    text: str = current_app.extensions["bridge-openapi"]
    return Response(text, content_type="application/json")


@blueprint.get("/docs")
@public
def page() -> Response:
    """Swagger UI."""
    response = send_from_directory(_OWN, "docs.html", mimetype="text/html")
    response.headers["Content-Security-Policy"] = _POLICY
    return response


@blueprint.get("/docs/assets/<string:name>")
@public
def asset(name: str) -> Response:
    """A file of the page."""
    if name not in _ASSETS:
        abort(404)
    return send_from_directory(_ASSETS[name], name, max_age=3600)
