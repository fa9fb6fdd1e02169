"""Records of journal rows: topic, key, envelope and headers, and dead letters of what makes none."""

from __future__ import annotations

import orjson
import pytest

from bridges.onex.envelope import OnexEnvelopeV1
from bridges.relay.reader import JournalRow
from bridges.relay.records import RecordMaker
from tasks.errors import ValidationFailed
from tasks.settings import load_settings

SETTINGS = load_settings({"DATABASE_URL": "postgresql://u:p@h/d", "REDIS_URL": "redis://h", "NODE_ID": "node-7"})
ROW = JournalRow(
    12,
    "01a20976-3cfc-79d2-ad81-0be7830da040",
    "hook",
    "h-1",
    3,
    "hook-state-changed",
    '{"state": "handled"}',
    "c-1",
    "x-1",
    "2026-11-23T17:59:15.415123Z",
)


@pytest.fixture
def maker() -> RecordMaker:
    return RecordMaker(SETTINGS, 100_000)


def test_a_row_becomes_a_record(maker: RecordMaker):
    record = maker.record(ROW)
    envelope = OnexEnvelopeV1.from_json(record.value)
    assert record.topic == "dev.omninode_bridge.onex.evt.hook-state-changed.v1"
    assert record.key == b"h-1"
    assert envelope.event_id == ROW.event_id
    assert envelope.event_timestamp == ROW.recorded_at
    assert envelope.source_node_id == "node-7"
    assert envelope.environment == "dev"
    assert envelope.key == "h-1"
    assert (envelope.correlation_id, envelope.causation_id) == ("c-1", "x-1")
    assert envelope.payload == {"state": "handled"}
    assert envelope.metadata == {
        "aggregate_type": "hook",
        "aggregate_id": "h-1",
        "aggregate_version": 3,
        "journal_id": 12,
    }
    assert dict(record.headers)["ce_type"] == b"omninode_bridge.onex.evt.hook-state-changed.v1"


def test_a_row_may_have_a_key_of_its_own(maker: RecordMaker):
    record = maker.record(ROW._replace(partition_key="customer-7"))
    envelope = OnexEnvelopeV1.from_json(record.value)
    assert record.key == b"customer-7"
    assert envelope.key == "customer-7"
    assert envelope.metadata is not None
    assert envelope.metadata["aggregate_id"] == "h-1"
    assert maker.dead_letter(ROW._replace(partition_key="customer-7"), "no").key == b"customer-7"


def test_what_is_not_known_is_left_out(maker: RecordMaker):
    fields = orjson.loads(maker.record(ROW._replace(correlation_id=None, causation_id=None)).value)
    assert not {"correlation_id", "causation_id", "region"} & fields.keys()


@pytest.mark.parametrize(
    "wrong",
    [
        {"payload": "[]"},
        {"payload": '{"a": "' + "x" * 100_000 + '"}'},
        {"event_type": "a--b"},
        {"aggregate_id": ""},
        {"aggregate_id": "x" * 2000},
        {"correlation_id": ""},
    ],
)
def test_rows_that_make_no_record_say_why_and_make_a_dead_letter(maker: RecordMaker, wrong: dict[str, str]):
    row = ROW._replace(**wrong)
    with pytest.raises(ValidationFailed) as caught:
        maker.record(row)
    letter = maker.dead_letter(row, caught.value.detail, attempts=1)
    body = orjson.loads(letter.value)
    assert letter.topic.endswith(".v1.dlq")
    assert body["failure_reason"]
    assert body["retry_attempts"] == 1
    assert body["original_key"] == row.aggregate_id
    assert letter.size_bytes < 100_000
    if not body["truncated"]:
        assert orjson.loads(body["original_data"])["event_id"] == row.event_id
