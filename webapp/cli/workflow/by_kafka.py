"""Submits a run through Kafka: a command on ``cmd.workflow-execute``, its answer on ``rsp.workflow-execute``.

The two belong together by their correlation id. The answer's payload is what the HTTP endpoint would have answered:
the accepted run, or a problem.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bridges.kafka.admin import TopicAdmin
from bridges.kafka.connection import SinkUnavailable
from bridges.kafka.consumer import TopicReader
from bridges.kafka.producer import KafkaPythonProducer, OutRecord
from bridges.onex.envelope import OnexEnvelopeV1
from bridges.onex.headers import EventHeaders
from bridges.onex.topics import topic_for
from tasks.errors import MalformedInput, SinkError, ValidationFailed
from tasks.ids import new_id
from tasks.settings import Settings
from webapp.cli.api import ApiRefused, mistakes_of

EXECUTE = "workflow-execute"
_POLL_S = 0.2
_SEND_S = 10.0


class NoAnswer(SinkError):
    """Nobody answered a command in time; whether it was taken is not known."""

    code = "SINK_3"
    status = 504
    title = "No answer on Kafka"


def submit(settings: Settings, servers: str, order: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """Sends the order, and waits for its answer.

    Raises:
        SinkUnavailable: Kafka does not answer.
        NoAnswer: no answer came within ``timeout_s``.
        ApiRefused: the bridge said no.
    """
    settings = replace(settings, kafka_bootstrap_servers=servers)
    commands, answers = (topic_for(EXECUTE, settings.environment, topic_class=one) for one in ("cmd", "rsp"))
    admin = TopicAdmin(settings)
    try:
        admin.ensure([commands, answers])
    finally:
        admin.close()
    command = _command(settings, order)
    deadline = time.monotonic() + timeout_s
    with TopicReader(settings) as reader:
        # The embedded broker does not know its ends; it holds little.
        reader.take_up([answers], at_end=not settings.kafka_ephemeral)
        reader.poll(0)
        _send(settings, commands, command)
        while time.monotonic() < deadline:
            for record in reader.poll(min(_POLL_S, max(0.0, deadline - time.monotonic()))):
                answer = _answer_in(record.value, command)
                if answer is not None:
                    return _accepted(answer)
    raise NoAnswer(f"No answer to the command came on {answers} within {timeout_s:.0f} s.")


def _command(settings: Settings, order: Mapping[str, Any]) -> OnexEnvelopeV1:
    command_id = str(new_id())
    return OnexEnvelopeV1(
        event_id=command_id,
        event_type=EXECUTE,
        event_version="1.0.0",
        event_timestamp=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        source_node_id=f"{settings.node_id}-cli",
        correlation_id=command_id,
        environment=settings.environment,
        payload=order,
    )


def _send(settings: Settings, topic: str, command: OnexEnvelopeV1) -> None:
    headers = EventHeaders(settings.environment, command.source_node_id).of(
        command.event_id, command.event_type, command.event_timestamp, command.correlation_id, "cmd"
    )
    producer = KafkaPythonProducer(settings)
    try:
        delivery = producer.publish([OutRecord(topic, command.key.encode(), command.to_json(), headers)])
        done = delivery.wait(_SEND_S, hurry=True)
        failure = delivery.failure()
        if failure is not None or not done:
            raise SinkUnavailable(f"Kafka did not take the command: {failure.reason if failure else 'too slow'}")
    finally:
        producer.close()


def _answer_in(value: bytes, command: OnexEnvelopeV1) -> Mapping[str, Any] | None:
    """The answer's payload, where the record is the one to this command."""
    try:
        envelope = OnexEnvelopeV1.from_json(value)
    except (MalformedInput, ValidationFailed):
        return None
    payload = envelope.payload
    return payload if envelope.correlation_id == command.correlation_id and isinstance(payload, Mapping) else None


def _accepted(answer: Mapping[str, Any]) -> dict[str, Any]:
    if "workflow_id" in answer:
        return dict(answer)
    errors = tuple(
        replace(one, pointer=one.pointer.removeprefix("/payload")) for one in mistakes_of(answer.get("errors"))
    )
    status = answer.get("status")
    raise ApiRefused(
        f"The bridge answered on Kafka: {answer.get('detail') or 'no reason given'}",
        answer_status=status if isinstance(status, int) else 422,
        errors=errors,
    )
