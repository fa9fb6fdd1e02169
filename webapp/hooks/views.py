"""The endpoints of hooks: accept one or many, look at them, replay one. Plain events take ``webapp.hooks.lane``."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Flask, Response, request

from tasks.hooks.model import NewHook
from tasks.hooks.replaying import Choice
from webapp import body
from webapp.auth import current_principal, origin, require
from webapp.blueprint import ApiBlueprint, problems
from webapp.hooks import batch, schemas
from webapp.hooks.answers import accepted_answer, links
from webapp.hooks.idempotency import delivery_id
from webapp.json_provider import dumps
from webapp.paging import cursor_of, next_link, times_of
from webapp.services import of, services

blueprint = ApiBlueprint("hooks", description="Webhooks: accepted durably, handled by workers, announced on Kafka.")

_HOOK_EXAMPLE = {
    "source": "billing-api",
    "action": "startup",
    "resource": "service",
    "resource_id": "billing-api-7f9c",
    "version": "1.0.0",
    "environment": "production",
    "data": {"port": 8080},
}
_BATCH_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    {"$ref": "#/components/schemas/Batch"},
                    {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/Hook"},
                        "minItems": 1,
                        "maxItems": schemas.MAX_BATCH,
                    },
                ]
            },
            "example": {"events": [_HOOK_EXAMPLE]},
        }
    },
}
# Which hooks must be said somehow.
_REPLAY_BODY = {
    "content": {
        "application/json": {
            "schema": {
                "allOf": [
                    {"$ref": "#/components/schemas/ReplayMany"},
                    {"anyOf": [{"required": [name]} for name in schemas.REPLAY_BY]},
                ]
            },
        }
    },
}


def install(app: Flask) -> None:
    """Lets a batch be larger than other bodies."""
    limit = of(app).settings.batch_body_limit_bytes

    @app.before_request
    def widen() -> None:
        if request.endpoint == "hooks.post_batch":
            request.max_content_length = limit


@blueprint.route("/hooks", methods=["POST"])
@require("hooks:write")
@problems(400, 409, 413, 415, 422, 503)
@blueprint.arguments(schemas.IdempotencySchema(), location="headers")
@blueprint.arguments(schemas.HookSchema(), example=_HOOK_EXAMPLE)
@blueprint.response(202, schemas.AcceptedSchema())
def post_hook(headers: dict[str, Any], hook: NewHook) -> Response:
    """Accept an event

    The answer 202 means that the event is stored durably; a worker handles it soon.
    """
    bridge = services()
    began = time.perf_counter()
    bridge.admission.admit(hook.source)
    accepted = bridge.hooks.accept(replace(hook, delivery_id=delivery_id(headers["idempotency_key"])))
    answer = accepted_answer(accepted, request.script_root, began)
    location = {"Location": answer["links"]["self"]}
    return Response(dumps(answer), 202, location, content_type="application/json")


@blueprint.route("/hooks/batch", methods=["POST"])
@require("hooks:write")
@problems(400, 413, 415, 422)
@blueprint.arguments(schemas.IdempotencySchema(), location="headers")
@blueprint.doc(requestBody=_BATCH_BODY)
@blueprint.response(207, schemas.BatchResultSchema())
def post_batch(headers: dict[str, Any]) -> Response:
    """Accept many events

    Up to 1,000 events, as `{"events": [...]}` or a bare array. An event that is not valid fails alone. With an
    `Idempotency-Key` each event is one delivery, named by the key and its place.
    """
    key = delivery_id(headers["idempotency_key"])
    max_depth = services().settings.json_max_depth
    raw = body.read_raw(request)
    items = batch.events_of(body.parse(raw))
    # A batch holds many objects side by side, so only the walk knows how deep each of them is.
    checked = not body.suspicious(raw, max_depth)
    answer = batch.accept(services(), items, key, max_depth, checked)
    return Response(dumps(answer), 207, content_type="application/json")


@blueprint.route("/hooks", methods=["GET"])
@require("hooks:read")
@problems(422)
@blueprint.arguments(schemas.HookQuerySchema(), location="query")
@blueprint.response(200, schemas.HookPageSchema())
def list_hooks(query: dict[str, Any]) -> dict[str, Any]:
    """List hooks

    Newest first, by source, event type, state and time.
    """
    page = services().hooks.list(
        source=query.get("source"),
        event_type=query.get("type"),
        state=query.get("state"),
        **times_of(query),
        limit=query["limit"],
        cursor=cursor_of(query, 1),
    )
    return {"items": page.items, "next": next_link(page)}


@blueprint.route("/hooks/replay", methods=["POST"])
@require("hooks:write")
@problems(400, 413, 415, 422)
@blueprint.arguments(schemas.ReplayManySchema(), example={"state": "dead", "source": "billing-api"})
@blueprint.doc(requestBody=_REPLAY_BODY)
@blueprint.response(202, schemas.ReplayedManySchema())
def replay_hooks(chosen: dict[str, Any]) -> dict[str, Any]:
    """Replay many hooks

    Those of a list of ids, or all that a filter finds, dead letters included: up to `limit`, oldest first. They go
    through their handlers again, attempts counted anew. The act is audited.
    """
    bridge = services()
    choice = Choice(
        ids=tuple(chosen["ids"]),
        states=(chosen["state"],) if "state" in chosen else (),
        source=chosen.get("source"),
        event_type=chosen.get("type"),
        **times_of(chosen),
    )
    done = bridge.replays.replay(choice, chosen["limit"])
    if done.items:
        detail = f"{len(done.items)} hooks, from {done.items[0]['id']} to {done.items[-1]['id']}"
        bridge.access.admin_act("hook-replayed", origin(), actor=current_principal().name, detail=detail)
    return {"replayed": len(done.items), "more": done.more, "items": done.items}


@blueprint.route("/hooks/<uuid:hook_id>", methods=["GET"])
@require("hooks:read")
@problems(404)
@blueprint.response(200, schemas.HookDetailSchema())
def get_hook(hook_id: UUID) -> dict[str, Any]:
    """Show a hook

    With its body, its attempts and its journal.
    """
    return services().hooks.get(hook_id)


@blueprint.route("/hooks/<uuid:hook_id>/replay", methods=["POST"])
@require("hooks:write")
@problems(404, 409)
@blueprint.response(202, schemas.ReplayedSchema())
def replay_hook(hook_id: UUID) -> dict[str, Any]:
    """Replay a hook

    A handled or dead hook goes through its handlers again, attempts counted anew. The act is audited.
    """
    replayed = services().hooks.replay(hook_id)
    services().access.admin_act("hook-replayed", origin(), actor=current_principal().name, detail=f"hook {hook_id}")
    return {**replayed, "links": links(request.script_root, hook_id)}
