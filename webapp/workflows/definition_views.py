"""The endpoints of definitions: store a version, look at them, check one before that, the schema for editors."""

from __future__ import annotations

from typing import Any

from flask import Response

from tasks.workflows import definitions
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.form import to_plain
from tasks.workflows.definition.mistakes import InvalidDefinition, Mistake, told
from tasks.workflows.definition.schema import definition_schema
from tasks.workflows.stored import StoredDefinition
from webapp.auth import current_principal, require
from webapp.blueprint import ApiBlueprint, problems
from webapp.json_provider import dumps
from webapp.paging import cursor_of, next_link
from webapp.services import services
from webapp.workflows import definition_schemas as schemas
from webapp.workflows.shared import NAME_PARAMETER, checked_name, definition_links
from webapp.workflows.source import MEDIA_TYPES, from_body

blueprint = ApiBlueprint("definitions", description="Workflow definitions: versions that never change.")

_EXAMPLE = {
    "name": "order",
    "steps": [
        {"key": "settle", "kind": "wait", "with": {"seconds": 2}},
        {"key": "told", "kind": "emit", "needs": ["settle"], "with": {"event": "order-settled"}},
    ],
}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    content = {name: {"schema": schema, "example": _EXAMPLE} for name in MEDIA_TYPES[:2]}
    return {"required": True, "content": content}


@blueprint.route("/workflows/definitions/<string(maxlength=100):name>", methods=["PUT"], parameters=[NAME_PARAMETER])
@require("workflows:write")
@problems(400, 404, 409, 413, 415, 422)
@blueprint.arguments(schemas.PutQuerySchema(), location="query")
@blueprint.doc(requestBody=_body({"type": "object"}))
@blueprint.response(200, schemas.PutSchema(), description="This version was there with the same content.")
@blueprint.alt_response(201, schema=schemas.PutSchema(), description="Stored.")
def put_definition(query: dict[str, Any], name: str) -> Response:
    """Store a definition

    YAML or JSON, by the content type. A version never changes: the same content again is the same version, another
    content under a version that is there is 409. Without a version it is the next number. All mistakes are reported
    at once, with line and column.
    """
    definition = from_body()
    if definition.name != name:
        raise InvalidDefinition([Mistake("/name", f"is '{definition.name}', and the address says '{name}'")])
    stored, new = definitions.put(
        services().runtime.db, definition, version=query.get("version"), created_by=current_principal().name
    )
    answer = {**_shown(stored), "created": new}
    headers = {"Location": answer["links"]["self"]}
    return Response(dumps(answer), 201 if new else 200, headers, content_type="application/json")


@blueprint.route("/workflows/definitions", methods=["GET"])
@require("workflows:read")
@problems(422)
@blueprint.arguments(schemas.DefinitionQuerySchema(), location="query")
@blueprint.response(200, schemas.DefinitionPageSchema())
def list_definitions(query: dict[str, Any]) -> dict[str, Any]:
    """List definitions

    The newest version of each, by name.
    """
    page = definitions.page(
        services().runtime.db, search=query.get("search"), limit=query["limit"], cursor=cursor_of(query, 1)
    )
    return {"items": [{**row, "links": definition_links(row)} for row in page.items], "next": next_link(page)}


@blueprint.route("/workflows/definitions/<string(maxlength=100):name>", methods=["GET"], parameters=[NAME_PARAMETER])
@require("workflows:read")
@problems(404, 422)
@blueprint.arguments(schemas.VersionQuerySchema(), location="query")
@blueprint.response(200, schemas.DefinitionSchema())
def get_definition(query: dict[str, Any], name: str) -> dict[str, Any]:
    """Show a definition

    In full, with the default numbers filled in.
    """
    checked_name(name, "workflow")
    stored = definitions.get(services().runtime.db, name, query.get("version"))
    return {**_shown(stored), "definition": to_plain(stored.definition)}


@blueprint.route(
    "/workflows/definitions/<string(maxlength=100):name>/versions", methods=["GET"], parameters=[NAME_PARAMETER]
)
@require("workflows:read")
@problems(404, 422)
@blueprint.arguments(schemas.PageQuerySchema(), location="query")
@blueprint.response(200, schemas.DefinitionPageSchema())
def list_versions(query: dict[str, Any], name: str) -> dict[str, Any]:
    """List a definition's versions

    Newest first.
    """
    checked_name(name, "workflow")
    page = definitions.versions(services().runtime.db, name, limit=query["limit"], cursor=cursor_of(query, 1))
    return {"items": [{**row, "links": definition_links(row)} for row in page.items], "next": next_link(page)}


@blueprint.route("/workflows/validate", methods=["POST"])
@require("workflows:read")
@problems(413, 415)
@blueprint.doc(requestBody=_body({}))
@blueprint.response(200, schemas.ValidationSchema())
def validate() -> dict[str, Any]:
    """Check a definition

    YAML or JSON, by the content type; nothing is stored. Every mistake at once, each with its place: a JSON Pointer,
    line and column. The request is right where the definition is not, so that the answer is 200 either way.
    """
    try:
        definition = from_body()
    except InvalidDefinition as refusal:
        mistakes = [told(mistake) for mistake in refusal.mistakes]
        return {"valid": False, "name": None, "step_count": None, "errors": mistakes}
    return {"valid": True, "name": definition.name, "step_count": len(definition.steps), "errors": []}


@blueprint.route("/workflows/schema", methods=["GET"])
@require("workflows:read")
@blueprint.doc(
    responses={200: {"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}}}
)
def schema() -> Response:
    """The JSON Schema of a definition

    For editors (draft 2020-12), with the arguments of each kind of step.
    """
    services().known()
    return Response(dumps(definition_schema(KINDS)), content_type="application/json")


def _shown(stored: StoredDefinition) -> dict[str, Any]:
    definition = stored.definition
    row = {
        "id": stored.id,
        "name": stored.name,
        "version": stored.version,
        "description": definition.description,
        "tags": list(definition.tags),
        "step_count": len(definition.steps),
        "created_at": stored.created_at,
        "created_by": stored.created_by,
    }
    return {**row, "links": definition_links(row)}
