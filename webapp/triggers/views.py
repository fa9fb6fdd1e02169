"""The endpoints of triggers: make, look at, change, pause, resume, remove."""

from __future__ import annotations

from typing import Any

from webapp.auth import require
from webapp.blueprint import ApiBlueprint, problems
from webapp.paging import cursor_of, next_link
from webapp.services import services
from webapp.triggers import schemas
from webapp.workflows.targets import WHICH_PARAMETER, changed, which_of, with_links

blueprint = ApiBlueprint("triggers", description="Workflows that begin with a webhook.")

_PATH = "/triggers"
_ONE = f"{_PATH}/<string(maxlength=100):which>"
_EXAMPLE = {
    "name": "big-invoice",
    "event_types": ["invoice.*"],
    "filter": "hook.data.total > 100",
    "workflow": "order",
    "input": {"invoice": "${{ hook.resource_id }}", "total": "${{ hook.data.total }}"},
}


@blueprint.route(_PATH, methods=["POST"])
@require("workflows:write")
@problems(400, 409, 413, 415, 422)
@blueprint.arguments(schemas.TriggerSchema(), example=_EXAMPLE)
@blueprint.response(201, schemas.ShownTriggerSchema())
def create(given: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Make a trigger

    Every hook that is accepted after this answer meets it. The run begins in the transaction that marks the hook
    handled: once for each handling, and a replay is another. What fails is recorded, and the hook is handled.
    """
    row = changed(services().triggers.create, given, code="trigger-created", path=_PATH)
    return row, 201, {"Location": row["links"]["self"]}


@blueprint.route(_PATH, methods=["GET"])
@require("workflows:read")
@problems(422)
@blueprint.arguments(schemas.TriggerQuerySchema(), location="query")
@blueprint.response(200, schemas.TriggerPageSchema())
def list_triggers(query: dict[str, Any]) -> dict[str, Any]:
    """List triggers

    By name; all, or those in a state or of a workflow.
    """
    page = services().triggers.list(
        state=query.get("state"), workflow=query.get("workflow"), limit=query["limit"], cursor=cursor_of(query, 1)
    )
    return {"items": [with_links(row, _PATH) for row in page.items], "next": next_link(page)}


@blueprint.route(_ONE, methods=["GET"], parameters=[WHICH_PARAMETER])
@require("workflows:read")
@problems(404)
@blueprint.response(200, schemas.TriggerDetailSchema())
def show(which: str) -> dict[str, Any]:
    """Show a trigger

    With the outcome of the last twenty hooks that it matched.
    """
    return with_links(services().triggers.get(which_of(which)), _PATH)


@blueprint.route(_ONE, methods=["PATCH"], parameters=[WHICH_PARAMETER])
@require("workflows:write")
@problems(400, 404, 409, 413, 415, 422)
@blueprint.arguments(schemas.TriggerChangeSchema())
@blueprint.response(200, schemas.ShownTriggerSchema())
def change(given: dict[str, Any], which: str) -> dict[str, Any]:
    """Change a trigger

    Fields that are left out keep their values.
    """
    return changed(services().triggers.change, which_of(which), given, code="trigger-changed", path=_PATH)


@blueprint.route(_ONE, methods=["DELETE"], parameters=[WHICH_PARAMETER])
@require("workflows:write")
@problems(404)
@blueprint.response(200, schemas.ShownTriggerSchema())
def remove(which: str) -> dict[str, Any]:
    """Remove a trigger

    Its runs go on.
    """
    return changed(services().triggers.remove, which_of(which), code="trigger-removed", path=_PATH)


@blueprint.route(f"{_ONE}/pause", methods=["POST"], parameters=[WHICH_PARAMETER])
@require("workflows:write")
@problems(404, 409)
@blueprint.response(200, schemas.ShownTriggerSchema())
def pause(which: str) -> dict[str, Any]:
    """Pause a trigger

    It matches no hooks until it is resumed.
    """
    return changed(services().triggers.pause, which_of(which), code="trigger-paused", path=_PATH)


@blueprint.route(f"{_ONE}/resume", methods=["POST"], parameters=[WHICH_PARAMETER])
@require("workflows:write")
@problems(404, 409)
@blueprint.response(200, schemas.ShownTriggerSchema())
def resume(which: str) -> dict[str, Any]:
    """Resume a trigger

    Every hook that is accepted after this answer meets it.
    """
    return changed(services().triggers.resume, which_of(which), code="trigger-resumed", path=_PATH)
