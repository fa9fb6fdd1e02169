"""Runs steps of the kind ``emit``: an event in the journal, and so on Kafka, just if the step succeeds.

Each event is an aggregate of its own, ``emitted``, whose id is the step's idempotency key and which has one version.
Its ``key`` is the Kafka key; without one that is the run's id, so that a run's events stay in order on their topics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from tasks.db.pool import Transaction
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.journal.types import is_event_type, is_own
from tasks.nul import holds_nul
from tasks.workflows.attempt import Attempt, Refused
from tasks.workflows.definition.builtin import KINDS

AGGREGATE = "emitted"
# What a Kafka broker takes by default is 1 MiB (message.max.bytes), with envelope and headers.
_MOST_BYTES = 900_000


@KINDS.runs("emit")
def run(attempt: Attempt, arguments: Mapping[str, Any]) -> Any:
    """The output is {event, event_id}. Raises Refused for a type that is not a user's, or a payload that is too large
    or that PostgreSQL can't keep."""
    event_type, payload = arguments["event"], arguments.get("data", {})
    if not is_event_type(event_type) or is_own(event_type):
        raise Refused(f"Events of the type {event_type!r:.100} can't be emitted.", error_type="EventTypeRefused")
    _check(payload)
    event = JournalEvent(
        AGGREGATE,
        attempt.idempotency_key,
        1,
        event_type,
        payload,
        attempt.correlation_id,
        causation_id=attempt.idempotency_key,
        partition_key=arguments.get("key", str(attempt.run_id)),
    )

    def write(tx: Transaction) -> None:
        append(tx, [event])

    attempt.effect(write)
    return {"event": event_type, "event_id": str(event.event_id)}


def _check(payload: Any) -> None:
    try:
        text = orjson.dumps(payload)
    except TypeError as problem:
        raise Refused(f"The event's data is not JSON: {problem}.", error_type="EventInvalid") from None
    if len(text) > _MOST_BYTES:
        raise Refused(
            f"The event's data takes {len(text)} bytes; at most {_MOST_BYTES} can be sent.",
            error_type="EventTooLarge",
        )
    if holds_nul(text):
        raise Refused("The event's data has a NUL character in a text.", error_type="EventInvalid")
