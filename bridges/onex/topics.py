"""The grammar of topic names (CONTRACT.md, section 2) and which topic an event belongs to.

``{env}.omninode_bridge.onex.{class}.{kebab-name}.v{n}``, with ``.dlq`` behind it for dead letters.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from tasks.errors import FieldError, ValidationFailed
from tasks.journal.types import EVENT_TYPE, is_event_type
from tasks.settings import ENVIRONMENTS

CLASSES = ("evt", "cmd", "rsp", "met", "aud", "dlt")
DEAD_LETTER_SUFFIX = ".dlq"

_PREFIX = "omninode_bridge.onex"
_TOPIC = re.compile(
    rf"(?P<env>{'|'.join(ENVIRONMENTS)})\.{re.escape(_PREFIX)}\.(?P<kind>{'|'.join(CLASSES)})"
    rf"\.(?P<name>{EVENT_TYPE})\.v(?P<version>[1-9][0-9]*)(?P<dlq>\.dlq)?"
)
# Every event is an `evt`, except these. What we say of a command is its answer.
_CLASS_OF = {"performance": "met", "security": "aud", "workflow-execute": "rsp", "workflow-status": "rsp"}


class Topic(NamedTuple):
    """The parts of a topic's name."""

    environment: str
    topic_class: str
    event_type: str
    version: int
    dead_letter: bool = False


def class_of(event_type: str) -> str:
    """The class that events of this type travel in: ``met``, ``aud``, ``rsp`` or ``evt``."""
    return _CLASS_OF.get(event_type, "evt")


@lru_cache(maxsize=4096)
def topic_for(event_type: str, environment: str, *, topic_class: str | None = None, version: int = 1) -> str:
    """The topic of an event type. Give ``topic_class`` for what is no event (``cmd``, ``rsp``).

    Raises:
        ValidationFailed: the type, the environment, the class or the version does not fit the grammar.
    """
    if environment not in ENVIRONMENTS:
        raise _misfit("/environment", f"must be one of {', '.join(ENVIRONMENTS)}, not {environment!r}")
    return f"{environment}.{cloud_event_type(event_type, topic_class=topic_class, version=version)}"


@lru_cache(maxsize=4096)
def cloud_event_type(event_type: str, *, topic_class: str | None = None, version: int = 1) -> str:
    """The CloudEvents type of an event: its topic without the environment.

    Raises:
        ValidationFailed: as ``topic_for``.
    """
    kind = topic_class or class_of(event_type)
    if not is_event_type(event_type):
        raise _misfit("/event_type", f"must be kebab case, not {event_type!r:.100}")
    if kind not in CLASSES:
        raise _misfit("/class", f"must be one of {', '.join(CLASSES)}, not {kind!r}")
    if version < 1:
        raise _misfit("/version", "must be at least 1")
    return f"{_PREFIX}.{kind}.{event_type}.v{version}"


def dead_letter_topic(topic: str) -> str:
    """Where what can't go to ``topic`` goes."""
    return topic + DEAD_LETTER_SUFFIX


def parse_topic(text: str) -> Topic:
    """The parts of a topic's name.

    Raises:
        ValidationFailed: ``text`` is no topic of this bridge.
    """
    match = _TOPIC.fullmatch(text)
    if match is None:
        raise _misfit("/topic", f"{text!r:.250} is not {{env}}.{_PREFIX}.{{class}}.{{kebab-name}}.v{{n}}[.dlq]")
    return Topic(match["env"], match["kind"], match["name"], int(match["version"]), match["dlq"] is not None)


def _misfit(pointer: str, detail: str) -> ValidationFailed:
    return ValidationFailed("Not of the ONEX topic grammar.", errors=[FieldError(pointer, detail)])
