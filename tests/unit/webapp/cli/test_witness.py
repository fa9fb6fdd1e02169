"""What the comparison of the journal with Kafka notices."""

from __future__ import annotations

from uuid import UUID

import orjson
import pytest

from bridges.kafka.consumer import InRecord
from webapp.cli.agreement.witness import Witness

TOPIC = "test.omninode_bridge.onex.evt.hook-received.v1"


def event(number: int) -> UUID:
    return UUID(int=number)


def record(number: int, key: str = "a", *, partition: int = 0, topic: str = TOPIC) -> InRecord:
    value = orjson.dumps({"event_id": str(event(number)), "partition_key": key})
    return InRecord(topic, partition, number, 0, key.encode(), value, ())


@pytest.fixture
def witness() -> Witness:
    made = Witness()
    for number, key in ((1, "a"), (2, "b"), (3, "a"), (4, "a")):
        made.know(number, event(number), key)
    return made


def test_all_seen_is_complete_and_hashes_are_equal(witness: Witness) -> None:
    for number, key in ((2, "b"), (1, "a"), (3, "a"), (4, "a")):
        witness.show(record(number, key))
    assert witness.complete
    assert not witness.out_of_order
    journal, kafka = witness.digests()
    assert journal == kafka


def test_a_missing_row_is_named(witness: Witness) -> None:
    for number in (1, 3):
        witness.show(record(number))
    assert not witness.complete
    assert witness.missing() == [2, 4]
    journal, kafka = witness.digests()
    assert journal != kafka


def test_a_repeat_counts_and_does_no_harm(witness: Witness) -> None:
    for number in (1, 3, 4, 3, 4):
        witness.show(record(number))
    assert witness.duplicates == 2
    assert not witness.out_of_order


def test_changed_places_of_one_key_are_noticed(witness: Witness) -> None:
    for number in (1, 4, 3):
        witness.show(record(number))
    assert len(witness.out_of_order) == 1


def test_one_key_in_two_partitions_is_noticed(witness: Witness) -> None:
    witness.show(record(1))
    witness.show(record(3, partition=1))
    assert len(witness.out_of_order) == 1


def test_order_is_a_matter_of_each_topic(witness: Witness) -> None:
    witness.show(record(4))
    witness.show(record(1, topic=TOPIC.replace("received", "state-changed")))
    assert not witness.out_of_order


def test_an_event_of_a_known_aggregate_that_no_row_tells_of_is_a_phantom(witness: Witness) -> None:
    witness.show(record(99, "a"))
    witness.show(record(98, "b"))
    assert len(witness.phantoms()) == 2
    witness.forgive([event(98)])
    assert len(witness.phantoms()) == 1
    assert witness.later == 1


def test_what_other_databases_wrote_is_not_ours(witness: Witness) -> None:
    witness.show(record(99, "of another database"))
    witness.show(InRecord(TOPIC + ".dlq", 0, 0, 0, b"of another database", b"{}", ()))
    assert not witness.phantoms()
    assert not witness.dead_letters
    assert witness.foreign == 2


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"event_id": 1}', b"\xff"])
def test_what_is_no_envelope_is_noted(witness: Witness, value: bytes) -> None:
    witness.show(InRecord(TOPIC, 0, 7, 0, b"a", value, ()))
    assert witness.unreadable == [f"{TOPIC}[0]@7"]


def test_a_dead_letter_of_ours_is_noted(witness: Witness) -> None:
    witness.show(InRecord(TOPIC + ".dlq", 0, 7, 0, b"a", b"{}", ()))
    assert witness.dead_letters == [f"{TOPIC}.dlq[0]@7"]
