"""The endpoints that ask models: one (`/execute`), or several side by side (`/compare`)."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from flask import Flask, Response, current_app, request

from tasks.errors import FieldError, ValidationFailed
from tasks.lab import forms
from webapp.auth import current_principal, require
from webapp.blueprint import ApiBlueprint, problems
from webapp.hooks.idempotency import delivery_id
from webapp.hooks.schemas import IdempotencySchema
from webapp.json_provider import dumps
from webapp.lab import schemas
from webapp.lab.asking import EVENT_STREAM, Stream, Waiting
from webapp.services import of, services

blueprint = ApiBlueprint("lab", description="The AI Lab: ask a model, compare several.")

_POLL_S = 0.1
_LONGEST_POLL_S = 1.0
_GRACE_S = 1.0
_WAITING = "bridge-lab-waiting"
_ACCEPTED = {"schema": schemas.AcceptedQuestionSchema, "description": "Durable, and carried by a worker."}


def install(app: Flask) -> None:
    """Bounds how many clients of ``app`` may wait for models."""
    app.extensions[_WAITING] = Waiting(of(app).settings.lab_waiting_limit)


def _waiting() -> Waiting:
    waiting: Waiting = current_app.extensions[_WAITING]
    return waiting


@blueprint.route("/execute", methods=["POST"])
@require("metrics:write")
@problems(400, 409, 413, 415, 422, 502, 503, 504)
@blueprint.arguments(IdempotencySchema(), location="headers")
@blueprint.arguments(schemas.ExecuteSchema())
@blueprint.response(200, schemas.AnswerSchema())
@blueprint.alt_response(202, **_ACCEPTED)
def execute(headers: dict[str, Any], body: dict[str, Any]) -> Response | dict[str, Any]:
    """Ask a model

    The lab chooses one, falls back to others when it fails, and records every attempt as a model execution. With
    `stream` the answer is server-sent events: `attempt`, `text`, `attempt_failed` (what it said does not count), and
    at the end `answer`, or `error` with a problem. With `async`, or `Prefer: respond-async` (RFC 7240), the question
    is stored and a worker carries it: look at it under `links.self`. `Idempotency-Key` counts there.
    """
    question = forms.request_of(body)
    timeout_s: float = body["timeout_s"]
    if body["async_"] or _prefers_async():
        question_id = services().carried.submit(question, timeout_s, _key(headers))
        return _accepted(question_id, "pending", f"{request.script_root}/execute/{question_id}")
    if timeout_s > schemas.SYNC_TIMEOUT_S:
        detail = f"must be at most {schemas.SYNC_TIMEOUT_S:g} unless async"
        raise ValidationFailed("The question can't be waited for.", errors=[FieldError("/timeout_s", detail)])
    if body["stream"]:
        parts = Stream(services().lab, question, timeout_s, _waiting()).begin()
        return Response(parts, 200, content_type=EVENT_STREAM, headers={"X-Accel-Buffering": "no"})
    with _waiting().place():
        return forms.shown(services().lab.ask(question, timeout_s))


@blueprint.route("/execute/<uuid:question_id>", methods=["GET"])
@require("metrics:read")
@problems(404)
@blueprint.response(200, schemas.CarriedQuestionSchema())
def get_question(question_id: UUID) -> dict[str, Any]:
    """Show a question that a worker carries

    With its answer, or why there is none.
    """
    return services().carried.get(question_id)


@blueprint.route("/compare", methods=["POST"])
@require("metrics:write")
@problems(400, 409, 413, 415, 422, 503)
@blueprint.arguments(IdempotencySchema(), location="headers")
@blueprint.arguments(schemas.CompareSchema())
@blueprint.response(200, schemas.ComparisonSchema())
@blueprint.alt_response(202, **_ACCEPTED)
def compare(headers: dict[str, Any], body: dict[str, Any]) -> Response | dict[str, Any]:
    """Ask several models the same

    Side by side, by workers. The answer comes when all have answered, at the latest after `timeout_s`: then its state
    is `partial`, and holds what is there. It is stored either way.
    """
    carried = services().carried
    timeout_s: float = body["timeout_s"]
    comparison_id = carried.compare(forms.request_of(body), body["models"], timeout_s, _key(headers))
    if body["async_"] or _prefers_async():
        return _accepted(comparison_id, "running", f"{request.script_root}/compare/{comparison_id}")
    with _waiting().place():
        return _concluded(comparison_id, timeout_s)


@blueprint.route("/compare/<uuid:comparison_id>", methods=["GET"])
@require("metrics:read")
@problems(404)
@blueprint.response(200, schemas.ComparisonSchema())
def get_comparison(comparison_id: UUID) -> dict[str, Any]:
    """Show a comparison

    With what each model has answered so far.
    """
    return services().carried.get_comparison(comparison_id)


def _concluded(comparison_id: UUID, timeout_s: float) -> dict[str, Any]:
    """The comparison when it has ended. At its deadline it is ended from here, should no worker be there to do so."""
    carried = services().carried
    deadline = time.monotonic() + timeout_s + _GRACE_S
    pause_s = _POLL_S
    while True:
        found = carried.get_comparison(comparison_id)
        if found["state"] != "running":
            return found
        if time.monotonic() > deadline and carried.conclude(comparison_id) is None:
            return carried.get_comparison(comparison_id)
        time.sleep(pause_s)
        pause_s = min(_LONGEST_POLL_S, pause_s * 1.2)


def _prefers_async() -> bool:
    wishes = request.headers.get("Prefer", "").lower().split(",")
    return any(wish.split(";")[0].strip() == "respond-async" for wish in wishes)


def _key(headers: dict[str, Any]) -> str | None:
    """The idempotency key, of this caller alone."""
    key = delivery_id(headers["idempotency_key"])
    return None if key is None else f"{current_principal().id}:{key}"


def _accepted(item_id: UUID, state: str, here: str) -> Response:
    answer = {"id": item_id, "state": state, "links": {"self": here}}
    return Response(dumps(answer), 202, {"Location": here}, content_type="application/json")
