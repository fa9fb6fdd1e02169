"""What a command says, checked: the envelope, and the payload of each kind. What is wrong is told all at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson

from bridges.kafka.consumer import InRecord
from bridges.onex.envelope import OnexEnvelopeV1
from tasks import correlation
from tasks.errors import FieldError, ValidationFailed
from tasks.nul import holds_nul
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.context import Known
from tasks.workflows.definition.mistakes import InvalidDefinition, pointer
from tasks.workflows.definition.model import NAME, VERSION
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.submitting import Submission

EXECUTE = "workflow-execute"
STATUS = "workflow-status"
KINDS_OF_COMMANDS = (EXECUTE, STATUS)
_FIELDS = ("name", "version", "definition", "input", "priority", "tags", "metadata")
_MOST_TAGS = 10
_TAG = re.compile(r"[^\x00-\x1f\x7f]{1,100}")


@dataclass(frozen=True)
class Command:
    """A valid envelope from a topic of commands. ``correlation_id`` is what the answer carries."""

    kind: str
    event_id: str
    source: str
    correlation_id: str
    payload: Mapping[str, Any]

    @classmethod
    def of_record(cls, record: InRecord, kind: str, environment: str) -> Command:
        """The command in a record of the topic of ``kind``.

        Raises:
            MalformedInput, ValidationFailed: it is none, with every reason.
        """
        envelope = OnexEnvelopeV1.from_json(record.value)
        payload = envelope.payload
        wrong = []
        if envelope.event_type != kind:
            wrong.append(FieldError("/event_type", f"must be {kind} in this topic"))
        if envelope.environment not in (None, environment):
            wrong.append(FieldError("/environment", f"must be {environment} in this topic"))
        if not _can_be_kept([envelope.correlation_id, envelope.source_node_id, payload]):
            wrong.append(FieldError("", "must hold no NUL, and not be nested too deeply"))
        if wrong or not isinstance(payload, Mapping):
            told = "; ".join(f"{one.pointer} {one.detail}".strip() for one in wrong)
            raise ValidationFailed(f"Not a command: {told}", errors=wrong)
        event_id = envelope.event_id.lower()
        return cls(kind, event_id, envelope.source_node_id, envelope.correlation_id or event_id, payload)

    def run_id(self) -> UUID:
        """Of which run it asks the state. Raises ValidationFailed."""
        if set(self.payload) != {"workflow_id"}:
            raise _invalid([FieldError("/payload", "must be {workflow_id}")])
        try:
            return UUID(self.payload["workflow_id"])
        except (ValueError, TypeError, AttributeError):
            raise _invalid([FieldError("/payload/workflow_id", "must be a UUID")]) from None

    def submission(self, known: Known) -> Submission:
        """The run that it asks for: the fields of the body of ``POST /workflows/execute``.

        Raises:
            ValidationFailed: with every mistake.
        """
        order = self.payload
        wrong = list(_mistakes(order))
        if wrong:
            raise _invalid(wrong)
        definition = None
        if order.get("definition") is not None:
            try:
                definition = parse_definition(order["definition"], kinds=KINDS, known=known)
            except InvalidDefinition as refusal:
                moved = [replace(one, pointer="/payload/definition" + one.pointer) for one in refusal.mistakes]
                raise InvalidDefinition(moved) from None
        return Submission(
            definition=definition,
            name=order.get("name"),
            version=order.get("version"),
            input=order.get("input"),
            priority=order.get("priority"),
            tags=tuple(order.get("tags") or ()),
            metadata=order.get("metadata") or {},
            idempotency_key=f"kafka/{self.event_id}",
            correlation_id=self.correlation_id if correlation.is_valid(self.correlation_id) else self.event_id,
            submitted_by=f"kafka:{self.source}",
        )


def _can_be_kept(value: Any) -> bool:
    """Whether PostgreSQL can hold it as JSON; answers repeat parts of it."""
    try:
        return not holds_nul(orjson.dumps(value))
    except TypeError:
        return False


def _mistakes(order: Mapping[str, Any]) -> Iterator[FieldError]:
    for unknown in sorted(order.keys() - set(_FIELDS)):
        yield FieldError(pointer(("payload", unknown[:100])), "is not a field of this command")
    name, version = order.get("name"), order.get("version")
    if (name is None) == (order.get("definition") is None):
        yield FieldError("/payload/definition", "exactly one of 'name' and 'definition' is needed")
    if name is not None and not (isinstance(name, str) and re.fullmatch(NAME, name)):
        yield FieldError("/payload/name", "must be a workflow's name")
    if version is not None and name is None:
        yield FieldError("/payload/version", "belongs to 'name'")
    elif version is not None and not (isinstance(version, str) and re.fullmatch(VERSION, version)):
        yield FieldError("/payload/version", "must be a workflow's version")
    priority, tags, metadata = order.get("priority"), order.get("tags"), order.get("metadata")
    if priority is not None and not (type(priority) is int and 1 <= priority <= 10):
        yield FieldError("/payload/priority", "must be a whole number from 1 to 10")
    if tags is not None and not (
        isinstance(tags, list)
        and len(tags) <= _MOST_TAGS
        and all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in tags)
    ):
        yield FieldError("/payload/tags", f"must be at most {_MOST_TAGS} printable texts")
    if metadata is not None and not isinstance(metadata, dict):
        yield FieldError("/payload/metadata", "must be an object")


def _invalid(mistakes: list[FieldError]) -> ValidationFailed:
    return ValidationFailed("The command is not valid; see errors.", errors=mistakes)
