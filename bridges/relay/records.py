"""Makes Kafka records of journal rows: envelope, key, headers and topic; and dead letters of those that can't be."""

from __future__ import annotations

import socket
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import orjson

from bridges.kafka.dead_letters import dead_letter
from bridges.kafka.producer import OutRecord
from bridges.onex.envelope import ENVELOPE_VERSION, EnvelopeWriter, JsonText
from bridges.onex.headers import EventHeaders
from bridges.onex.topics import topic_for
from bridges.relay.quick import envelope_of
from bridges.relay.reader import JournalRow
from tasks.errors import ValidationFailed
from tasks.settings import Settings

EVENT_VERSION = "1.0.0"
_SERVICE = "omninode-bridge"
# Key and headers take far less than this: smaller values need no exact look.
_WORTH_MEASURING_BYTES = 65_536


class RecordMaker:
    """Turns rows into records for one environment and node."""

    def __init__(self, settings: Settings, max_record_bytes: int) -> None:
        """``max_record_bytes`` is what the producer takes.

        Raises:
            ValidationFailed: the settings make no valid source of events.
        """
        self._environment = settings.environment
        self._max_record_bytes = max_record_bytes
        self._headers = EventHeaders(settings.environment, settings.node_id)
        self._envelopes = EnvelopeWriter(
            {
                "envelope_version": ENVELOPE_VERSION,
                "event_version": EVENT_VERSION,
                "source_node_id": settings.node_id,
                "source_service": _SERVICE,
                "source_version": _version(),
                "source_instance": socket.gethostname()[:255] or None,
                "environment": settings.environment,
            }
        )
        self._beginning = self._envelopes.beginning

    def record(self, row: JournalRow) -> OutRecord:
        """The record of a row, with its own key, or the aggregate's id, as the key.

        Raises:
            ValidationFailed: the row makes no valid envelope or topic, or the record is too large.
        """
        value = envelope_of(row, self._beginning) or self._envelopes.write(_fields_of(row))
        record = OutRecord(
            topic_for(row.event_type, self._environment),
            row.key.encode(),
            value,
            self._headers.of(row.event_id, row.event_type, row.recorded_at, row.correlation_id),
        )
        if len(value) + _WORTH_MEASURING_BYTES > self._max_record_bytes:
            self._measure(record)
        return record

    def _measure(self, record: OutRecord) -> None:
        if record.size_bytes > self._max_record_bytes:
            raise ValidationFailed(
                f"The event takes {record.size_bytes} bytes; at most {self._max_record_bytes} can be sent."
            )

    def dead_letter(self, row: JournalRow, reason: str, attempts: int = 0) -> OutRecord:
        """The record that tells of a row that can't be sent, for the dead-letter topic of its own."""
        data = orjson.dumps({**row._asdict(), "payload": orjson.Fragment(row.payload)})
        return dead_letter(self._topic_of(row.event_type), row.key, data, reason, retry_attempts=attempts)

    def _topic_of(self, event_type: str) -> str:
        try:
            return topic_for(event_type, self._environment)
        except ValidationFailed:
            return topic_for("unroutable", self._environment, topic_class="dlt")


def _fields_of(row: JournalRow) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "event_id": row.event_id,
        "event_type": row.event_type,
        "event_timestamp": row.recorded_at,
        "partition_key": row.key,
        "metadata": {
            "aggregate_type": row.aggregate_type,
            "aggregate_id": row.aggregate_id,
            "aggregate_version": row.version,
            "journal_id": row.id,
        },
        "payload": JsonText(row.payload),
    }
    if row.correlation_id is not None:
        fields["correlation_id"] = row.correlation_id
    if row.causation_id is not None:
        fields["causation_id"] = row.causation_id
    return fields


def _version() -> str | None:
    try:
        return version("omninode-bridge")
    except PackageNotFoundError:
        return None
