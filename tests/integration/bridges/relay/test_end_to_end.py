"""The relay from the journal to a real broker: envelopes, keys, order, dead letters, replay and skip."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from bridges.kafka.connection import MAX_MESSAGE_BYTES
from bridges.onex.envelope import OnexEnvelopeV1
from tasks.errors import ValidationFailed
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tests.integration.bridges.relay.support import (
    Journal,
    RunningRelay,
    event_ids,
    first_versions_in_order,
)
from tests.integration.conftest import wait_until

pytestmark = pytest.mark.usefixtures("fresh_kafka")
Start = Callable[..., RunningRelay]


def test_every_row_arrives_once_and_in_order(journal: Journal, start_relay: Start):
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
        assert record.key == envelope.key.encode() == (envelope.metadata or {})["aggregate_id"].encode()
        assert headers["ce_id"].decode() == envelope.event_id
        assert headers["ce_specversion"] == b"1.0"
        assert headers["ce_time"].decode() == envelope.event_timestamp
        assert headers["correlation-id"].decode() == envelope.correlation_id
        assert headers["content-type"] == b"application/json"


def test_rows_that_come_later_follow_within_a_second(journal: Journal, start_relay: Start):
    start_relay()
    journal.write(1)
    journal.wait_caught_up()
    for expected in range(2, 5):
        journal.write(1)
        journal.wait_caught_up(1.0)
        assert len(journal.on_kafka()) == expected


def test_numbers_arrive_as_they_were_stored(journal: Journal, start_relay: Start):
    exact = "123456789012345678901234567890.000000000000000001"
    with journal.db.transaction() as tx:
        tx.execute(
            "INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload)"
            " VALUES (gen_random_uuid(), 'thing', 'a', 1, 'hook-received', %(payload)s)",
            {"payload": f'{{"n": {exact}}}'},
        )
    start_relay()
    journal.wait_caught_up()
    [record] = journal.on_kafka()
    assert exact.encode() in record.value


def test_what_is_too_large_goes_to_the_dead_letters_cut_and_the_rest_goes_on(journal: Journal, start_relay: Start):
    journal.write(1)
    journal.write(1, size=MAX_MESSAGE_BYTES)
    journal.write(1)
    start_relay()
    journal.wait_caught_up()
    assert len(journal.on_kafka()) == 2
    [letter] = journal.dead_letters()
    assert letter["original_topic"] == "test.omninode_bridge.onex.evt.hook-received.v1"
    assert letter["original_key"] == "a0"
    assert letter["truncated"] is True
    assert len(letter["original_data"]) < 70_000
    assert "bytes" in letter["failure_reason"]
    assert letter["retry_attempts"] == 0
    assert letter["failure_timestamp"].endswith("Z")
    wait_until(lambda: journal.service.status()["dead_letters"] == 1, 5)


def test_what_makes_no_valid_envelope_goes_to_the_dead_letters(journal: Journal, start_relay: Start):
    with journal.db.transaction() as tx:
        for event_type, payload, key in (
            ("hook-received", "[1]", "a"),
            ("not--kebab", "{}", "b"),
            ("hook-received", "{}", ""),
            ("hook-received", "{}", "good"),
        ):
            tx.execute(
                "INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload)"
                " VALUES (gen_random_uuid(), 'thing', %(key)s, 1, %(event_type)s, %(payload)s)",
                {"key": key, "event_type": event_type, "payload": payload},
            )
    start_relay()
    journal.wait_caught_up()
    topic = "test.omninode_bridge.onex.evt.hook-received.v1"
    assert [record.key for record in journal.read([topic])] == [b"good"]
    letters = [orjson.loads(record.value) for record in journal.read([topic + ".dlq"])]
    assert sorted(letter["original_key"] for letter in letters) == ["", "a"]
    assert any("/payload must be an object" in letter["failure_reason"] for letter in letters)
    [unroutable] = journal.read(["test.omninode_bridge.onex.dlt.unroutable.v1.dlq"])
    assert orjson.loads(unroutable.value)["original_key"] == "b"


def test_a_replay_sends_again_with_the_same_ids(journal: Journal, start_relay: Start):
    journal.write(500)
    start_relay()
    journal.wait_caught_up()
    assert journal.service.replay(from_id=401)["to"] == 400
    wait_until(lambda: len(journal.on_kafka()) == 601, 15)  # 100 again, and the act's own event
    records = journal.on_kafka()
    assert event_ids(records) == {row["event_id"] for row in journal.rows()}
    assert first_versions_in_order(records)
    with pytest.raises(ValidationFailed):
        journal.service.replay(from_id=10_000)
    with pytest.raises(ValidationFailed):
        journal.service.replay(from_id=-1)


def test_a_skip_passes_rows_over_and_leaves_a_trace(journal: Journal, start_relay: Start):
    journal.write(10)
    skipped = journal.service.skip(count=4, reason="  spoiled ")
    assert (skipped["from"], skipped["to"], skipped["reason"]) == (0, 4, "spoiled")
    assert journal.service.skip(to_id=6, reason="spoiled too")["to"] == 6
    start_relay()
    journal.wait_caught_up()
    records = journal.on_kafka()
    envelopes = [OnexEnvelopeV1.from_json(record.value) for record in records]
    sent = sorted((envelope.metadata or {})["journal_id"] for envelope in envelopes)
    assert sent == [7, 8, 9, 10, 11, 12]
    traces = [envelope.payload for envelope in envelopes if envelope.event_type == "configuration-changed"]
    assert [trace["reason"] for trace in traces] == ["spoiled", "spoiled too"]
    for wrong in ({"count": 1, "reason": ""}, {"reason": "x"}, {"count": 1, "to_id": 2, "reason": "x"}):
        with pytest.raises(ValidationFailed):
            journal.service.skip(**wrong)
    with pytest.raises(ValidationFailed):
        journal.service.skip(count=1, reason="nothing waits")


def test_status_tells_lag_rate_and_topics(journal: Journal, start_relay: Start):
    journal.write(100)
    before = journal.service.status()
    assert (before["active"], before["lag_rows"], before["position"]) == (False, 100, 0)
    assert before["lag_s"] > 0
    relay = start_relay()
    journal.wait_caught_up()
    wait_until(lambda: journal.service.status()["sent_rows"] == 100, 5)
    after = journal.service.status()
    wait_until(lambda: journal.service.status()["active"], 5)  # between two slices nobody is
    assert (after["lag_rows"], after["lag_s"], after["position"]) == (0, 0.0, 100)
    assert after["rate_per_s"] > 0
    assert after["topics"] == journal.topics()
    assert after["note"] is None
    relay.stop()
    assert not journal.service.status()["active"]


def test_rows_of_a_transaction_that_commits_late_still_come(journal: Journal, start_relay: Start):
    start_relay()
    with journal.db.transaction() as slow:
        append(slow, [JournalEvent("thing", "slow", 1, "hook-received", {})])
        journal.write(50)
        wait_until(lambda: journal.service.status()["lag_rows"] == 50, 5)
        assert journal.service.status()["position"] == 0
    journal.wait_caught_up(5)
    assert len(journal.on_kafka()) == 51
