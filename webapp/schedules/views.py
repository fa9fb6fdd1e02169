"""The endpoints of schedules: make, look at, change, pause, resume, remove, and run one by hand."""

from __future__ import annotations

from typing import Any

from webapp.auth import require
from webapp.blueprint import ApiBlueprint, problems
from webapp.hooks.idempotency import delivery_id
from webapp.hooks.schemas import IdempotencySchema
from webapp.paging import cursor_of, next_link
from webapp.schedules import schemas
from webapp.services import services
from webapp.workflows.shared import links
from webapp.workflows.targets import WHICH_PARAMETER, audit, changed, which_of, with_links

blueprint = ApiBlueprint("schedules", description="Workflows that begin by the clock: one run for each tick.")

_PATH = "/schedules"
_ONE = f"{_PATH}/<string(maxlength=100):which>"
_EXAMPLE = {
    "name": "nightly",
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "workflow": "order",
    "input": {"day": "${{ schedule.local_tick }}"},
    "catch_up": "one",
    "overlap": "skip",
}


@blueprint.route(_PATH, methods=["POST"])
@require("workflows:write")
@problems(400, 409, 413, 415, 422)
@blueprint.arguments(schemas.ScheduleSchema(), example=_EXAMPLE)
@blueprint.response(201, schemas.ShownScheduleSchema())
def create(given: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Make a schedule

    It is active from now on. All mistakes are reported at once.
    """
    row = changed(services().schedules.create, given, code="schedule-created", path=_PATH)
    return row, 201, {"Location": row["links"]["self"]}


@blueprint.route(_PATH, methods=["GET"])
@require("workflows:read")
@problems(422)
@blueprint.arguments(schemas.ScheduleQuerySchema(), location="query")
@blueprint.response(200, schemas.SchedulePageSchema())
def list_schedules(query: dict[str, Any]) -> dict[str, Any]:
    """List schedules

    By name; all, or those in a state or of a workflow.
    """
    page = services().schedules.list(
        state=query.get("state"), workflow=query.get("workflow"), limit=query["limit"], cursor=cursor_of(query, 1)
    )
    return {"items": [with_links(row, _PATH) for row in page.items], "next": next_link(page)}


@blueprint.route(_ONE, methods=["GET"], parameters=[WHICH_PARAMETER])
@require("workflows:read")
@problems(404)
@blueprint.response(200, schemas.ScheduleDetailSchema())
def show(which: str) -> dict[str, Any]:
    """Show a schedule

    With its next five ticks, and the outcome of its last twenty.
    """
    return with_links(services().schedules.get(which_of(which)), _PATH)


@blueprint.route(_ONE, methods=["PATCH"], parameters=[WHICH_PARAMETER])
@require("workflows:write")
@problems(400, 404, 409, 413, 415, 422)
@blueprint.arguments(schemas.ScheduleChangeSchema())
@blueprint.response(200, schemas.ShownScheduleSchema())
def change(given: dict[str, Any], which: str) -> dict[str, Any]:
    """Change a schedule

    Fields that are left out keep their values. If its times change, it continues with the next tick from now.
    """
    return changed(services().schedules.change, which_of(which), given, code="schedule-changed", path=_PATH)


@blueprint.route(_ONE, methods=["DELETE"], parameters=[WHICH_PARAMETER])
@require("workflows:write")
@problems(404)
@blueprint.response(200, schemas.ShownScheduleSchema())
def remove(which: str) -> dict[str, Any]:
    """Remove a schedule

    Its runs go on.
    """
    return changed(services().schedules.remove, which_of(which), code="schedule-removed", path=_PATH)


@blueprint.route(f"{_ONE}/pause", methods=["POST"], parameters=[WHICH_PARAMETER])
@require("workflows:write")
@problems(404, 409)
@blueprint.response(200, schemas.ShownScheduleSchema())
def pause(which: str) -> dict[str, Any]:
    """Pause a schedule

    Ticks that come meanwhile are skipped, and not caught up later.
    """
    return changed(services().schedules.pause, which_of(which), code="schedule-paused", path=_PATH)


@blueprint.route(f"{_ONE}/resume", methods=["POST"], parameters=[WHICH_PARAMETER])
@require("workflows:write")
@problems(404, 409)
@blueprint.response(200, schemas.ShownScheduleSchema())
def resume(which: str) -> dict[str, Any]:
    """Resume a schedule

    It continues with the next tick from now.
    """
    return changed(services().schedules.resume, which_of(which), code="schedule-resumed", path=_PATH)


@blueprint.route(f"{_ONE}/trigger", methods=["POST"], parameters=[WHICH_PARAMETER])
@require("workflows:write")
@problems(404, 422)
@blueprint.arguments(IdempotencySchema(), location="headers")
@blueprint.response(202, schemas.StartedSchema())
def trigger(headers: dict[str, Any], which: str) -> dict[str, Any]:
    """Run a schedule's workflow now

    Besides its ticks, and in any state. With an `Idempotency-Key` a repeat is the same run.
    """
    run = services().schedules.trigger(which_of(which), delivery_id(headers["idempotency_key"]))
    audit("schedule-triggered", f"{which[:100]} run {run.run_id}")
    return {
        "workflow_id": run.run_id,
        "status": run.state,
        "duplicate": run.duplicate,
        "name": run.name,
        "version": run.version,
        "links": links(run.run_id),
    }
