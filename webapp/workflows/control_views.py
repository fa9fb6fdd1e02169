"""The endpoints that begin runs and steer them: execute, pause, resume, cancel, retry, compensate, signal, decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response

from tasks.workflows.definition.model import NAME
from tasks.workflows.submitting import Submission
from webapp.auth import current_principal, origin, require
from webapp.blueprint import ApiBlueprint, problems
from webapp.hooks.idempotency import delivery_id
from webapp.json_provider import dumps
from webapp.services import services
from webapp.workflows import control_schemas as schemas
from webapp.workflows.shared import KEY_PARAMETER, checked_name, links, no_nul
from webapp.workflows.source import inside

blueprint = ApiBlueprint("workflows", description="Durable graphs of steps: begin a run, steer it, decide for it.")

_SIGNAL_PARAMETER = {
    "in": "path",
    "name": "name",
    "required": True,
    "description": "The signal's name.",
    "schema": {"type": "string", "pattern": f"^{NAME}$", "maxLength": 100},
}
_EXAMPLE = {"definition": {"name": "hello", "steps": [{"key": "a", "kind": "wait", "with": {"seconds": 1}}]}}
_STEERED = "workflow-steered"


@blueprint.route("/workflows/execute", methods=["POST"])
@require("workflows:write")
@problems(400, 404, 413, 415, 422)
@blueprint.arguments(schemas.IdempotencyKeySchema(), location="headers")
@blueprint.arguments(schemas.ExecuteWorkflowSchema(), example=_EXAMPLE)
@blueprint.response(202, schemas.ExecutedSchema())
def execute(headers: dict[str, Any], order: dict[str, Any]) -> Response:
    """Begin a run

    Of a stored definition by name and version, or of one that comes with the request. The answer 202 means that the
    run is stored durably; workers carry it from there. A version that is stored later does not change it.
    """
    definition = inside(order["definition"], "/definition") if "definition" in order else None
    submitted = services().workflows.submit(
        Submission(
            definition=definition,
            name=order.get("name"),
            version=order.get("version"),
            input=order["input"],
            priority=order.get("priority"),
            tags=tuple(order["tags"]),
            metadata=order["metadata"],
            idempotency_key=delivery_id(headers["idempotency_key"]),
            correlation_id=order.get("correlation_id"),
            idempotency_scope=str(current_principal().id),
            submitted_by=current_principal().name,
        )
    )
    where = links(submitted.run_id)
    answer = {
        "workflow_id": submitted.run_id,
        "status": submitted.state,
        "message": "Run accepted before; this is the same one." if submitted.duplicate else "Run accepted.",
        "duplicate": submitted.duplicate,
        "name": submitted.name,
        "version": submitted.version,
        "links": where,
    }
    return Response(dumps(answer), 202, {"Location": where["self"]}, content_type="application/json")


@blueprint.route("/workflows/<uuid:run_id>/pause", methods=["POST"])
@require("workflows:write")
@problems(404, 409)
@blueprint.response(200, schemas.SteeredSchema())
def pause(run_id: UUID) -> dict[str, Any]:
    """Pause a run

    Steps under way end, no other begins.
    """
    return _steer(services().workflows.pause, run_id)


@blueprint.route("/workflows/<uuid:run_id>/resume", methods=["POST"])
@require("workflows:write")
@problems(404, 409)
@blueprint.response(200, schemas.SteeredSchema())
def resume(run_id: UUID) -> dict[str, Any]:
    """Resume a run

    One that was paused goes on.
    """
    return _steer(services().workflows.resume, run_id)


@blueprint.route("/workflows/<uuid:run_id>/cancel", methods=["POST"])
@require("workflows:write")
@problems(400, 404, 409, 413, 415, 422)
@blueprint.arguments(schemas.CancelSchema(), required=False)
@blueprint.response(200, schemas.SteeredSchema())
def cancel(said: dict[str, Any], run_id: UUID) -> dict[str, Any]:
    """Cancel a run

    With every step that has not ended, and every child that it waits for.
    """
    return _steer(lambda one, by: services().workflows.cancel(one, by, said.get("reason")), run_id)


@blueprint.route("/workflows/<uuid:run_id>/retry", methods=["POST"])
@require("workflows:write")
@problems(404, 409)
@blueprint.response(200, schemas.SteeredSchema())
def retry(run_id: UUID) -> dict[str, Any]:
    """Try a run again

    From what did not end well; what succeeded is kept.
    """
    return _steer(services().workflows.retry, run_id)


@blueprint.route("/workflows/<uuid:run_id>/compensate", methods=["POST"])
@require("workflows:write")
@problems(404, 409)
@blueprint.response(200, schemas.SteeredSchema())
def compensate(run_id: UUID) -> dict[str, Any]:
    """Undo a run

    What succeeded in a run that ended is undone by the steps' `compensate`, newest first. It begins at once: it takes
    a place of its concurrency key, but does not wait for one.
    """
    return _steer(services().workflows.compensate, run_id)


@blueprint.route(
    "/workflows/<uuid:run_id>/signals/<string(maxlength=100):name>", methods=["POST"], parameters=[_SIGNAL_PARAMETER]
)
@require("workflows:write")
@problems(400, 404, 409, 413, 415, 422)
@blueprint.arguments(schemas.IdempotencyKeySchema(), location="headers")
@blueprint.arguments(schemas.SignalSchema(), required=False)
@blueprint.response(202, schemas.SignalledSchema())
def signal(headers: dict[str, Any], said: dict[str, Any], run_id: UUID, name: str) -> dict[str, Any]:
    """Signal a run

    The first step that waits for the name goes on with the payload; where none does yet, it is kept for it.
    """
    return services().workflows.signal(
        run_id,
        checked_name(name, "signal"),
        said.get("payload"),
        current_principal().name,
        idempotency_key=delivery_id(headers["idempotency_key"]),
        idempotency_scope=str(current_principal().id),
    )


@blueprint.route(
    "/workflows/<uuid:run_id>/steps/<string(maxlength=200):key>/approve", methods=["POST"], parameters=[KEY_PARAMETER]
)
@require("workflows:write")
@problems(400, 404, 409, 413, 415, 422)
@blueprint.arguments(schemas.DecideSchema(), required=False)
@blueprint.response(200, schemas.DecidedSchema())
def approve(said: dict[str, Any], run_id: UUID, key: str) -> dict[str, Any]:
    """Approve a step

    That waits for a decision. Where the step names its approvers, the key's name must be one of them.
    """
    return _decide(run_id, key, True, said)


@blueprint.route(
    "/workflows/<uuid:run_id>/steps/<string(maxlength=200):key>/reject", methods=["POST"], parameters=[KEY_PARAMETER]
)
@require("workflows:write")
@problems(400, 404, 409, 413, 415, 422)
@blueprint.arguments(schemas.DecideSchema(), required=False)
@blueprint.response(200, schemas.DecidedSchema())
def reject(said: dict[str, Any], run_id: UUID, key: str) -> dict[str, Any]:
    """Reject a step

    That waits for a decision: it fails. Where the step names its approvers, the key's name must be one of them.
    """
    return _decide(run_id, key, False, said)


def _steer(act: Callable[[UUID, str], dict[str, Any]], run_id: UUID) -> dict[str, Any]:
    steered = act(run_id, current_principal().name)
    detail = f"run {run_id}: {steered['previous_state']} -> {steered['state']}"
    services().access.admin_act(_STEERED, origin(), actor=current_principal().name, detail=detail)
    return {**steered, "links": links(run_id)}


def _decide(run_id: UUID, key: str, approved: bool, said: dict[str, Any]) -> dict[str, Any]:
    by = current_principal().name
    return services().workflows.decide(run_id, no_nul(key, "step"), approved, by, said.get("comment", ""))
