"""OnexEnvelopeV1: the JSON in which every event travels, checked strictly on the way out and on the way in.

Fields as in CONTRACT.md, section 2. What is not in the list is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from tasks.errors import FieldError, MalformedInput, ValidationFailed
from tasks.journal.types import is_event_type
from tasks.settings import ENVIRONMENTS

ENVELOPE_VERSION = "1.0"
_LONGEST_TEXT = 1024
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_VERSION = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}(?:[-+][0-9A-Za-z.+-]{1,64})?")
# RFC 3339, section 5.6; whether the date exists is for datetime to say.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)")


class JsonText(NamedTuple):
    """The text of valid JSON, as PostgreSQL gives it. It goes out as it is, so its numbers stay exact."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnexEnvelopeV1:
    """One event. ``payload`` is a JSON object: a mapping, or its text.

    Making an envelope does not check it: ``problems`` and ``to_json`` do.
    """

    event_id: str
    event_type: str
    event_version: str
    event_timestamp: str
    source_node_id: str
    payload: Mapping[str, Any] | JsonText
    envelope_version: str = ENVELOPE_VERSION
    source_service: str | None = None
    source_version: str | None = None
    source_instance: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    environment: str | None = None
    region: str | None = None
    partition_key: str | None = None
    metadata: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """The Kafka key: partition_key, else correlation_id, else source_node_id, else event_id."""
        return self.partition_key or self.correlation_id or self.source_node_id or self.event_id

    def fields(self) -> dict[str, Any]:
        """The fields that are set, by name."""
        values = ((name, getattr(self, name)) for name in _CHECKS)
        return {name: value for name, value in values if value is not None}

    def problems(self) -> list[FieldError]:
        """Everything that is wrong with this envelope; empty where it is valid."""
        return _problems_of(self.fields())

    def to_json(self) -> bytes:
        """The envelope as it goes out.

        Raises:
            ValidationFailed: it is not valid, with every reason.
        """
        fields = self.fields()
        problems = _problems_of(fields)
        if problems:
            raise _invalid(problems)
        return _encoded(fields)

    @classmethod
    def from_json(cls, data: bytes | str) -> OnexEnvelopeV1:
        """Reads an envelope that came in.

        Raises:
            MalformedInput: the bytes are no JSON object.
            ValidationFailed: the object is no valid envelope, with every reason.
        """
        try:
            fields = orjson.loads(data)
        except orjson.JSONDecodeError as problem:
            raise MalformedInput(f"An envelope must be JSON: {problem}.") from problem
        if not isinstance(fields, dict):
            raise MalformedInput("An envelope must be a JSON object.")
        problems = _problems_of(fields)
        if problems:
            raise _invalid(problems)
        return cls(**fields)


class EnvelopeWriter:
    """Writes the envelopes of one source: the fields that all of them share are checked and encoded once."""

    def __init__(self, shared: Mapping[str, Any]) -> None:
        """Takes the shared fields; those that are None are left out.

        Raises:
            ValidationFailed: one of them is not valid.
        """
        fields = {name: value for name, value in shared.items() if value is not None}
        problems = _wrong_among(fields)
        if problems:
            raise _invalid(problems)
        self._shared = fields.keys()
        self._missing = [name for name in _REQUIRED if name not in fields]
        self._beginning = _encoded(fields)[:-1] + b","

    @property
    def beginning(self) -> str:
        """The text with which every envelope of this source begins, up to where its own fields follow."""
        return self._beginning.decode()

    def write(self, own: dict[str, Any]) -> bytes:
        """The envelope of an event with the fields ``own``, in the order given; none may be None.

        Raises:
            ValidationFailed: it is not valid, with every reason.
        """
        problems = [FieldError(f"/{name}", "is required") for name in self._missing if name not in own]
        problems += _wrong_among(own)
        if problems or not self._shared.isdisjoint(own):
            problems += [FieldError(f"/{name}", "is given twice") for name in own if name in self._shared]
            raise _invalid(problems)
        return self._beginning + _encoded(own)[1:]


def _encoded(fields: dict[str, Any]) -> bytes:
    payload = fields.get("payload")
    if isinstance(payload, JsonText):
        fields = {**fields, "payload": orjson.Fragment(payload.text)}
    try:
        return orjson.dumps(fields)
    except TypeError as problem:
        raise _invalid([FieldError("/payload", f"is not JSON: {problem}")]) from problem


def _invalid(problems: list[FieldError]) -> ValidationFailed:
    summary = "; ".join(f"{problem.pointer} {problem.detail}" for problem in problems[:5])
    return ValidationFailed(f"Not a valid ONEX envelope: {summary}", errors=problems)


def _problems_of(fields: Mapping[str, Any]) -> list[FieldError]:
    missing = [FieldError(f"/{name}", "is required") for name in _REQUIRED if name not in fields]
    return missing + _wrong_among(fields)


def _wrong_among(fields: Mapping[str, Any]) -> list[FieldError]:
    found = []
    for name, value in fields.items():
        check = _CHECKS.get(name)
        detail = "is not a field of OnexEnvelopeV1" if check is None else check(value)
        if detail is not None:
            found.append(FieldError(f"/{_escaped(name)}", detail))
    return found


def _escaped(name: str) -> str:
    """A name as a part of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")[:100]


def _envelope_version(value: Any) -> str | None:
    return None if value == ENVELOPE_VERSION else f'must be "{ENVELOPE_VERSION}"'


def _uuid(value: Any) -> str | None:
    return None if isinstance(value, str) and _UUID.fullmatch(value) else "must be a UUID"


def _event_type(value: Any) -> str | None:
    return None if is_event_type(value) else "must be kebab case, at most 180 characters"


def _version(value: Any) -> str | None:
    return None if isinstance(value, str) and _VERSION.fullmatch(value) else "must be a version such as 1.0.0"


def _time(value: Any) -> str | None:
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return "must be a date and time that exist"
        return None
    return "must be a time as in RFC 3339, with its offset"


def _text(value: Any) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT:
        return None
    return f"must be a text of 1 to {_LONGEST_TEXT} characters"


def _environment(value: Any) -> str | None:
    return None if value in ENVIRONMENTS else f"must be one of {', '.join(ENVIRONMENTS)}"


def _object(value: Any) -> str | None:
    is_object = value.text.startswith("{") if isinstance(value, JsonText) else isinstance(value, Mapping)
    return None if is_object else "must be an object"


_REQUIRED = (
    "envelope_version",
    "event_id",
    "event_type",
    "event_version",
    "event_timestamp",
    "source_node_id",
    "payload",
)
# In the order in which they are written.
_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "envelope_version": _envelope_version,
    "event_id": _uuid,
    "event_type": _event_type,
    "event_version": _version,
    "event_timestamp": _time,
    "source_node_id": _text,
    "source_service": _text,
    "source_version": _text,
    "source_instance": _text,
    "correlation_id": _text,
    "causation_id": _text,
    "environment": _environment,
    "region": _text,
    "partition_key": _text,
    "metadata": _object,
    "payload": _object,
}
