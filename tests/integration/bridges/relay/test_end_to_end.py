"""The relay from the journal to a real broker: envelopes, order, dead letters, lost brokers, two relays at once."""

from __future__ import annotations

from bridges.onex.envelope import OnexEnvelopeV1
from tests.integration.bridges.relay.support import event_ids, first_versions_in_order


def test_every_row_arrives_once_and_in_order(journal, start_relay, fresh_kafka):
    journal.write(5000, keys=50)
    journal.write(30, event_type="performance")
    start_relay()
    journal.wait_caught_up()
    records = journal.on_kafka()
    assert len(records) == 5030
    assert event_ids(records) == {row["event_id"] for row in journal.rows()}
    assert first_versions_in_order(records)
    for record in records[:50]:
        envelope = OnexEnvelopeV1.from_json(record.value)
        headers = dict(record.headers)
        assert headers["ce_id"].decode() == envelope.event_id
        assert headers["ce_specversion"] == b"1.0"
        assert record.key == envelope.key.encode()
