"""The endpoints that show runs: lists, one with its steps, a step with its attempts, a chart."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response

from tasks.paging import Page
from tasks.workflows.chart import mermaid
from webapp.auth import require
from webapp.blueprint import ApiBlueprint, problems
from webapp.json_provider import dumps
from webapp.paging import cursor_of, next_link, times_of
from webapp.services import services
from webapp.workflows import schemas
from webapp.workflows.shared import KEY_PARAMETER, links, no_nul

blueprint = ApiBlueprint("runs", description="Runs of workflows: how far each is, and what it did.")

_STEPS_SHOWN = 100
_CHART_DOC = {
    200: {
        "description": "OK",
        "content": {
            "text/plain": {"schema": {"type": "string"}, "example": 'flowchart TD\n    n0["fetch"]:::succeeded\n'},
            "application/json": {"schema": {"$ref": "#/components/schemas/Chart"}},
        },
    }
}


@blueprint.route("/workflows", methods=["GET"])
@require("workflows:read")
@problems(422)
@blueprint.arguments(schemas.RunQuerySchema(), location="query")
@blueprint.response(200, schemas.RunPageSchema())
def list_runs(query: dict[str, Any]) -> dict[str, Any]:
    """List runs

    Newest first, by name, state, tag, correlation id, parent and time of submission.
    """
    page = services().workflows.reading.runs(
        name=query.get("name"),
        search=query.get("search"),
        state=query.get("state"),
        tag=query.get("tag"),
        correlation_id=query.get("correlation_id"),
        parent_id=query.get("parent"),
        **times_of(query),
        limit=query["limit"],
        cursor=cursor_of(query, 1),
    )
    return _page(page)


@blueprint.route("/workflows/active", methods=["GET"])
@require("workflows:read")
@problems(422)
@blueprint.arguments(schemas.ActiveQuerySchema(), location="query")
@blueprint.response(200, schemas.RunPageSchema())
def list_active(query: dict[str, Any]) -> dict[str, Any]:
    """List runs that have not ended

    Newest first.
    """
    page = services().workflows.reading.runs(
        name=query.get("name"),
        search=query.get("search"),
        tag=query.get("tag"),
        active=True,
        limit=query["limit"],
        cursor=cursor_of(query, 1),
    )
    return _page(page)


@blueprint.route("/workflows/<uuid:run_id>/status", methods=["GET"])
@require("workflows:read")
@problems(404)
@blueprint.response(200, schemas.RunStatusSchema())
def get_status(run_id: UUID) -> dict[str, Any]:
    """Show how far a run has come

    Its state, how many steps are in each state, and who is waited for. Small however large the run is.
    """
    return {**services().workflows.reading.status(run_id), "links": links(run_id)}


@blueprint.route("/workflows/<uuid:run_id>", methods=["GET"])
@require("workflows:read")
@problems(404, 422)
@blueprint.arguments(schemas.WholeQuerySchema(), location="query")
@blueprint.response(200, schemas.RunDetailSchema())
def get_run(query: dict[str, Any], run_id: UUID) -> dict[str, Any]:
    """Show a run

    With its input, output, journal and the first 100 steps; `next_steps` leads to the others. Large values are cut.
    """
    reading = services().workflows.reading
    run = reading.run(run_id, whole=query["whole"])
    steps = reading.steps(run_id, limit=_STEPS_SHOWN)
    following = f"{links(run_id)['steps']}?cursor={steps.next_cursor}" if steps.next_cursor else None
    return {**run, "steps": steps.items, "next_steps": following, "links": links(run_id)}


@blueprint.route("/workflows/<uuid:run_id>/steps", methods=["GET"])
@require("workflows:read")
@problems(404, 422)
@blueprint.arguments(schemas.StepQuerySchema(), location="query")
@blueprint.response(200, schemas.StepPageSchema())
def list_steps(query: dict[str, Any], run_id: UUID) -> dict[str, Any]:
    """List the steps of a run

    Each after those that it needs; by state. Large outputs are cut.
    """
    page = services().workflows.reading.steps(
        run_id, limit=query["limit"], cursor=cursor_of(query, 1), state=query.get("state")
    )
    return {"items": page.items, "next": next_link(page)}


@blueprint.route(
    "/workflows/<uuid:run_id>/steps/<string(maxlength=200):key>", methods=["GET"], parameters=[KEY_PARAMETER]
)
@require("workflows:read")
@problems(404, 422)
@blueprint.arguments(schemas.WholeQuerySchema(), location="query")
@blueprint.response(200, schemas.StepDetailSchema())
def get_step(query: dict[str, Any], run_id: UUID, key: str) -> dict[str, Any]:
    """Show a step

    With its arguments, output, attempts and journal. Large values are cut, unless `whole` is asked for.
    """
    return services().workflows.reading.step(run_id, no_nul(key, "step"), whole=query["whole"])


@blueprint.route(
    "/workflows/<uuid:run_id>/steps/<string(maxlength=200):key>/items", methods=["GET"], parameters=[KEY_PARAMETER]
)
@require("workflows:read")
@problems(404, 422)
@blueprint.arguments(schemas.ItemQuerySchema(), location="query")
@blueprint.response(200, schemas.ItemPageSchema())
def list_items(query: dict[str, Any], run_id: UUID, key: str) -> dict[str, Any]:
    """List the items of a map

    By index; all, or those in a state. Large values are cut.
    """
    page = services().workflows.reading.items(
        run_id, no_nul(key, "step"), state=query.get("state"), limit=query["limit"], cursor=cursor_of(query, 1)
    )
    return {"items": page.items, "next": next_link(page)}


@blueprint.route(
    "/workflows/<uuid:run_id>/steps/<string(maxlength=200):key>/items/<int(max=1000000):index>",
    methods=["GET"],
    parameters=[KEY_PARAMETER],
)
@require("workflows:read")
@problems(404)
@blueprint.response(200, schemas.ItemDetailSchema())
def get_item(run_id: UUID, key: str, index: int) -> dict[str, Any]:
    """Show an item of a map

    With its failed attempts.
    """
    return services().workflows.reading.item(run_id, no_nul(key, "step"), index)


@blueprint.route("/workflows/<uuid:run_id>/chart", methods=["GET"])
@require("workflows:read")
@problems(404, 422)
@blueprint.arguments(schemas.ChartQuerySchema(), location="query")
@blueprint.doc(responses=_CHART_DOC)
def get_chart(query: dict[str, Any], run_id: UUID) -> Response:
    """Draw a run

    Its steps with their states, as a Mermaid flowchart or as nodes and edges. Of a large run, fan-outs and lines are
    one node each.
    """
    chart = services().workflows.reading.chart(run_id, most=query["nodes"])
    if query["format"] == "mermaid":
        return Response(mermaid(chart), content_type="text/plain; charset=utf-8")
    return Response(dumps({**chart, "links": links(run_id)}), content_type="application/json")


def _page(page: Page) -> dict[str, Any]:
    items = [{**row, "links": links(row["workflow_id"])} for row in page.items]
    return {"items": items, "next": next_link(page)}
