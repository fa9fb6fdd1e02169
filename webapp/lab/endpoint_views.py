"""The endpoints about the lab's endpoints: what can be asked, how it does, and their administration."""

from __future__ import annotations

from typing import Any

from tasks.lab.administration import new_endpoint
from webapp.auth import current_principal, origin, require
from webapp.blueprint import ApiBlueprint, problems
from webapp.lab import endpoint_schemas as schemas
from webapp.services import services

blueprint = ApiBlueprint("lab endpoints", description="The AI Lab's servers of models, and how they do.")


@blueprint.route("/models/available", methods=["GET"])
@require("metrics:read")
@blueprint.response(200, schemas.ModelsSchema())
def list_models() -> dict[str, Any]:
    """List models

    Every model that may be asked, where it is, and whether it takes calls now.
    """
    return {"items": services().lab.endpoints.models()}


@blueprint.route("/lab/health", methods=["GET"])
@require("metrics:read")
@blueprint.response(200, schemas.LabHealthSchema())
def lab_health() -> dict[str, Any]:
    """Show the health of the lab

    Each endpoint by its last health check, with its circuit and the calls under way.
    """
    return services().lab.endpoints.health()


@blueprint.route("/lab/performance-report", methods=["GET"])
@require("metrics:read")
@problems(422)
@blueprint.arguments(schemas.ReportQuerySchema(), location="query")
@blueprint.response(200, schemas.ReportSchema())
def performance_report(query: dict[str, Any]) -> dict[str, Any]:
    """Report on the lab's attempts

    By endpoint and by model: success, latency, first token, tokens, failures by type, of the last hours.
    """
    return services().lab.report(query["hours"])


@blueprint.route("/lab/endpoints", methods=["GET"])
@require("admin")
@blueprint.response(200, schemas.EndpointsSchema())
def list_endpoints() -> dict[str, Any]:
    """List endpoints"""
    return {"items": services().lab.endpoints.list()}


@blueprint.route("/lab/endpoints", methods=["POST"])
@require("admin")
@problems(400, 409, 413, 415, 422)
@blueprint.arguments(schemas.NewEndpointSchema())
@blueprint.response(201, schemas.EndpointSchema())
def add_endpoint(body: dict[str, Any]) -> dict[str, Any]:
    """Add an endpoint

    It is asked once what it offers; one that does not answer is added all the same, and says why. The act is audited.
    """
    added = services().lab.endpoints.add(new_endpoint(body))
    detail = f"{added['kind']} endpoint {added['name']} at {added['url']}"
    services().access.admin_act("lab-endpoint-added", origin(), actor=current_principal().name, detail=detail)
    return added


@blueprint.route("/lab/endpoints/<string(maxlength=64):name>", methods=["DELETE"])
@require("admin")
@problems(404)
@blueprint.alt_response(204, description="Removed", success=True)
def remove_endpoint(name: str) -> tuple[str, int]:
    """Remove an endpoint

    Calls under way go on. The act is audited.
    """
    services().lab.endpoints.remove(name)
    detail = f"endpoint {name}"
    services().access.admin_act("lab-endpoint-removed", origin(), actor=current_principal().name, detail=detail)
    return "", 204
