"""``omninode topics``: which topics there are, and what comes on them, in readable lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from itertools import chain, islice
from typing import Any

import click
import orjson

from bridges.kafka.connection import SinkUnavailable
from bridges.kafka.consumer import InRecord
from webapp.cli.command import SessionGroup, pass_session
from webapp.cli.session import Session
from webapp.cli.topic_reading import BridgeTopics, is_of

_POLL_S = 0.2
_LONGEST_VALUE = 60
_LONGEST_LINE = 400
_FIRST = ("source", "name", "action", "resource", "resource_id", "from", "state", "attempt")
_HIDDEN = frozenset({"hook_id", "task_id", "version", "environment", "family", "root_id", "parent_id", "at"})


@click.group("topics", cls=SessionGroup)
def group() -> None:
    """The Kafka topics that the bridge writes."""


@group.command("list")
@pass_session
def list_topics(session: Session, /) -> None:
    """List the topics and how many records each holds now (counted by reading them)."""
    counts: Counter[str] = Counter()
    with BridgeTopics(session.settings) as topics:
        counts.update(dict.fromkeys(topics.topics(), 0))
        counts.update(record.topic for record in topics.backlog())
    items = [{"topic": name, "records": count} for name, count in sorted(counts.items())]
    if session.as_json:
        session.out.json({"items": items})
    else:
        session.out.table(["topic", "records"], items, "no topics yet")


@group.command()
@click.argument("names", nargs=-1)
@click.option("--from-beginning", is_flag=True, help="First show what is already there.")
@click.option("--max", "most", type=click.IntRange(1), help="End after this many messages.")
@pass_session
def tail(session: Session, /, names: tuple[str, ...], from_beginning: bool, most: int | None) -> None:
    """Watch topics live, a line for each message. Ends with Ctrl-C.

    NAMES are event types (service-startup) or whole topic names, * matches any part; without names every topic of the
    environment is watched.
    """
    began_ms = 0.0 if from_beginning else time.time() * 1000
    with BridgeTopics(session.settings, _matcher(session.settings.environment, names)) as topics:
        records = chain(
            (record for record in topics.backlog() if record.timestamp_ms >= began_ms), _live(session, topics)
        )
        try:
            for record in islice(records, most):
                _write(session, record)
        except KeyboardInterrupt:
            return


def _live(session: Session, topics: BridgeTopics) -> Iterator[InRecord]:
    """What comes, for ever; a broker that goes away is waited for."""
    away = False
    while True:
        try:
            records = topics.poll(_POLL_S)
        except SinkUnavailable as problem:
            if not away:
                session.out.note(f"{problem.detail}; waiting")
            away = True
        else:
            away = False
            yield from records


def _matcher(environment: str, names: tuple[str, ...]) -> Callable[[str], bool]:
    of_environment = is_of(environment)
    patterns = [name if "." in name else f"*.{name}.v*" for name in names]

    def wanted(topic: str) -> bool:
        return of_environment(topic) and (not patterns or any(fnmatchcase(topic, pattern) for pattern in patterns))

    return wanted


def _write(session: Session, record: InRecord) -> None:
    value = _parsed(record.value)
    if session.as_json:
        session.out.json_line(
            {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "timestamp_ms": record.timestamp_ms,
                "key": _text(record.key),
                "headers": {name: _text(content) for name, content in record.headers},
                "value": value if value is not None else _text(record.value),
            }
        )
    else:
        session.out.event_line(*_words(record, value))


def _words(record: InRecord, value: dict[str, Any] | None) -> tuple[str, str, str]:
    """Time, name and the rest, of one message."""
    name = ".".join(record.topic.split(".")[4:]).replace(".v1", "") or record.topic
    if value is None:
        return "-", name, _text(record.value) or ""
    payload = value.get("payload")
    told = payload if isinstance(payload, dict) else {}
    names = [*(name for name in _FIRST if name in told), *(name for name in told if name not in _FIRST)]
    pairs = [(name, told[name]) for name in names if name not in _HIDDEN and told[name] not in (None, "", {}, [])]
    words = [f"{name}={_short(item)}" for name, item in pairs]
    at = str(value.get("event_timestamp") or value.get("failure_timestamp") or "-")
    key = _text(record.key) or "-"
    return at[11:23], name, " ".join([f"[{key}]", *words])[:_LONGEST_LINE]


def _short(item: Any) -> str:
    text = item if isinstance(item, str) else orjson.dumps(item, default=str).decode()
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "replace")
