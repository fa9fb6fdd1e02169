"""Accepts many hooks of one request: each item is checked and stored for itself, in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from marshmallow import ValidationError

from tasks.errors import BridgeError, FieldError, ValidationFailed
from tasks.hooks.admission import Overloaded
from tasks.hooks.model import NewHook
from webapp import arguments, body
from webapp.hooks.idempotency import item_delivery_id
from webapp.hooks.schemas import MAX_BATCH, HookSchema
from webapp.problems import as_item
from webapp.services import Services

_HOOK = HookSchema()


def events_of(value: Any) -> list[Any]:
    """The items of a batch: ``value`` itself, or its only member ``events``.

    Raises:
        ValidationFailed: it is neither, or holds no item or more than 1,000.
    """
    errors: list[FieldError] = []
    items, pointer = value, ""
    if isinstance(value, dict):
        items, pointer = value.get("events"), "/events"
        unknown = [key for key in value if key != "events"]
        errors = [FieldError(f"/{body.escape(key)}", "Unknown field.") for key in unknown[:10]]
    if not isinstance(items, list):
        errors.append(FieldError(pointer, "must be an array of events"))
    elif not 1 <= len(items) <= MAX_BATCH:
        errors.append(FieldError(pointer, f"must hold 1 to {MAX_BATCH} events, not {len(items)}"))
    if errors or not isinstance(items, list):
        raise ValidationFailed("The batch is not valid; see errors.", errors=errors)
    return items


def accept(bridge: Services, items: Sequence[Any], key: str | None, max_depth: int, checked: bool) -> dict[str, Any]:
    """Stores what is valid and says of each item what became of it. ``checked``: no item needs ``body.check``.

    Raises:
        DatabaseUnavailable, DatabaseBusy: nothing is known to be stored; the whole batch should be sent again.
    """
    errors: list[dict[str, Any]] = []
    valid: list[tuple[int, NewHook]] = []
    for index, item in enumerate(items):
        try:
            hook = load(item, max_depth, checked)
            bridge.admission.admit(hook.source)
        except (ValidationFailed, Overloaded) as error:
            errors.append({"index": index, **as_item(error)})
        else:
            valid.append((index, replace(hook, delivery_id=item_delivery_id(key, index))))
    successes = []
    for (index, _), answer in zip(valid, bridge.hooks.accept_many([hook for _, hook in valid]), strict=True):
        if isinstance(answer, BridgeError):
            errors.append({"index": index, **as_item(answer)})
        else:
            successes.append({"index": index, "id": answer.hook_id, "status": 202, "duplicate": answer.duplicate})
    return {"successes": successes, "errors": sorted(errors, key=lambda error: error["index"])}


def load(item: Any, max_depth: int, checked: bool) -> NewHook:
    """One valid event; pointers in errors are relative to it. Raises ValidationFailed."""
    if not checked:
        body.check(item, max_depth)
    try:
        hook: NewHook = _HOOK.load(item)
    except ValidationError as error:
        raise arguments.failed(error.messages) from None
    return hook
