"""The endpoints of mirrored Celery tasks: list them, look at one. Read with the scope ``hooks:read``."""

from __future__ import annotations

from typing import Any

from tasks.errors import NotFound
from webapp.auth import require
from webapp.blueprint import ApiBlueprint, problems
from webapp.paging import cursor_of, next_link
from webapp.services import services
from webapp.tasks_api import schemas

blueprint = ApiBlueprint("tasks", description="Celery tasks as they are mirrored in PostgreSQL.")

_ID_PARAMETER = {
    "in": "path",
    "name": "task_id",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


@blueprint.route("/tasks", methods=["GET"])
@require("hooks:read")
@problems(422)
@blueprint.arguments(schemas.TaskQuerySchema(), location="query")
@blueprint.response(200, schemas.TaskPageSchema())
def list_tasks(query: dict[str, Any]) -> dict[str, Any]:
    """List tasks

    Mirrored Celery tasks, the last seen first, by state and name.
    """
    page = services().tasks.list(
        state=query.get("state"), name=query.get("name"), limit=query["limit"], cursor=cursor_of(query, 2)
    )
    return {"items": page.items, "next": next_link(page)}


@blueprint.route("/tasks/<string(maxlength=255):task_id>", methods=["GET"], parameters=[_ID_PARAMETER])
@require("hooks:read")
@problems(404)
@blueprint.response(200, schemas.TaskDetailSchema())
def get_task(task_id: str) -> dict[str, Any]:
    """Show a task

    With every mirrored transition of it.
    """
    if "\x00" in task_id:
        raise NotFound("There is no such task.")
    task: dict[str, Any] = services().tasks.get(task_id)
    return task
