"""``omninode onex``: looks whether everything on the topics is what the ONEX contract says."""

from __future__ import annotations

from collections import Counter

import click

from bridges.kafka.consumer import InRecord
from bridges.onex.envelope import OnexEnvelopeV1
from bridges.onex.topics import parse_topic
from tasks.errors import BridgeError
from webapp.cli.command import Failed, SessionGroup, pass_session, sentence_of
from webapp.cli.session import Session
from webapp.cli.topic_reading import BridgeTopics

_MOST_FAULTS = 20


@click.group("onex", cls=SessionGroup)
def group() -> None:
    """ONEX envelopes and topics."""


@group.command()
@pass_session
def verify(session: Session, /) -> None:
    """Read every topic from its beginning and check each envelope. Exits with 1 if one is not valid."""
    counts: Counter[str] = Counter()
    faults: list[dict[str, object]] = []
    with BridgeTopics(session.settings) as topics:
        for record in topics.backlog():
            counts[record.topic] += 1
            reason = fault_of(record)
            if reason is not None:
                faults.append({"place": _place(record), "fault": reason})
    _write(session, counts, faults)
    if faults:
        raise Failed


def fault_of(record: InRecord) -> str | None:
    """What is wrong with a record: its envelope, or that it lies in another type's topic. Dead letters have none."""
    topic = parse_topic(record.topic)
    if topic.dead_letter:
        return None
    try:
        envelope = OnexEnvelopeV1.from_json(record.value)
    except BridgeError as problem:
        return sentence_of(problem)
    if envelope.event_type != topic.event_type:
        return f"an event of type {envelope.event_type} in this topic"
    if record.key != envelope.key.encode():
        return f"the record's key is not {envelope.key}"
    return None


def _place(record: InRecord) -> str:
    return f"{record.topic}[{record.partition}]@{record.offset}"


def _write(session: Session, counts: Counter[str], faults: list[dict[str, object]]) -> None:
    if session.as_json:
        session.out.json({"checked": dict(sorted(counts.items())), "faults": faults})
        return
    session.out.table(["topic", "records"], [{"topic": name, "records": counts[name]} for name in sorted(counts)])
    if faults:
        session.out.line("")
        session.out.table(["place", "fault"], faults[:_MOST_FAULTS])
    session.out.line(f"{sum(counts.values())} records checked, {len(faults)} not valid", "red" if faults else "green")
