"""Makes Kafka records of journal rows: envelope, key, headers and topic; and dead letters of those that can't be."""

from __future__ import annotations

import socket
from importlib.metadata import PackageNotFoundError, version

import orjson

from bridges.kafka.dead_letters import dead_letter
from bridges.kafka.producer import OutRecord
from bridges.onex.envelope import JsonText, OnexEnvelopeV1
from bridges.onex.headers import EventHeaders
from bridges.onex.topics import topic_for
from bridges.relay.reader import JournalRow
from tasks.errors import ValidationFailed
from tasks.settings import Settings

EVENT_VERSION = "1.0.0"
_SERVICE = "omninode-bridge"


class RecordMaker:
    """Turns rows into records for one environment and node."""

    def __init__(self, settings: Settings, max_record_bytes: int) -> None:
        self._environment = settings.environment
        self._node_id = settings.node_id
        self._max_record_bytes = max_record_bytes
        self._version = _version()
        self._instance = socket.gethostname()[:255] or None
        self._headers = EventHeaders(settings.environment, settings.node_id)

    def envelope(self, row: JournalRow) -> OnexEnvelopeV1:
        """The envelope of a row, unchecked."""
        return OnexEnvelopeV1(
            event_id=row.event_id,
            event_type=row.event_type,
            event_version=EVENT_VERSION,
            event_timestamp=row.recorded_at,
            source_node_id=self._node_id,
            source_service=_SERVICE,
            source_version=self._version,
            source_instance=self._instance,
            correlation_id=row.correlation_id,
            causation_id=row.causation_id,
            environment=self._environment,
            partition_key=row.aggregate_id,
            metadata={
                "aggregate_type": row.aggregate_type,
                "aggregate_id": row.aggregate_id,
                "aggregate_version": row.version,
                "journal_id": row.id,
            },
            payload=JsonText(row.payload),
        )

    def record(self, row: JournalRow) -> OutRecord:
        """The record of a row.

        Raises:
            ValidationFailed: the row makes no valid envelope or topic, or the record is too large.
        """
        envelope = self.envelope(row)
        record = OutRecord(
            topic_for(row.event_type, self._environment),
            envelope.key.encode(),
            envelope.to_json(),
            self._headers.of(envelope),
        )
        if record.size_bytes > self._max_record_bytes:
            raise ValidationFailed(
                f"The event takes {record.size_bytes} bytes; at most {self._max_record_bytes} can be sent."
            )
        return record

    def dead_letter(self, row: JournalRow, reason: str, attempts: int = 0) -> OutRecord:
        """The record that tells of a row that can't be sent, for the dead-letter topic of its own."""
        data = orjson.dumps({**row._asdict(), "payload": orjson.Fragment(row.payload)})
        return dead_letter(self._topic_of(row.event_type), row.aggregate_id, data, reason, retry_attempts=attempts)

    def _topic_of(self, event_type: str) -> str:
        try:
            return topic_for(event_type, self._environment)
        except ValidationFailed:
            return topic_for("unroutable", self._environment, topic_class="dlt")


def _version() -> str | None:
    try:
        return version("omninode-bridge")
    except PackageNotFoundError:
        return None
