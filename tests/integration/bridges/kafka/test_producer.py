"""The producer port's promises, on a real broker: what every adapter must keep."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bridges.kafka import confluent
from bridges.kafka.admin import TopicAdmin
from bridges.kafka.confluent import ConfluentProducer
from bridges.kafka.connection import MAX_MESSAGE_BYTES, SinkUnavailable
from bridges.kafka.consumer import InRecord, read_all
from bridges.kafka.producer import KafkaPythonProducer, OutRecord, Producer
from tasks.ids import new_id
from tasks.settings import Settings
from webapp.stack.process import ServerProcess


@pytest.fixture
def topic() -> str:
    return f"topic-{new_id().hex[-12:]}"


@pytest.fixture
def admin(settings: Settings, fresh_kafka: ServerProcess) -> Iterator[TopicAdmin]:
    admin = TopicAdmin(settings)
    yield admin
    admin.close()


Adapter = type[KafkaPythonProducer] | type[ConfluentProducer]


@pytest.fixture(params=[KafkaPythonProducer, ConfluentProducer])
def adapter(request: pytest.FixtureRequest) -> Adapter:
    chosen: Adapter = request.param
    return chosen


@pytest.fixture
def producer(
    settings: Settings, admin: TopicAdmin, topic: str, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Producer]:
    # What becomes of events that are not taken is the same after 5 s as after 20.
    monkeypatch.setattr(confluent, "DELIVERY_TIMEOUT_MS", 5_000)
    admin.ensure([topic])
    producer = adapter(settings)
    yield producer
    producer.close()


def records(topic: str, numbers: range, keys: int = 5) -> list[OutRecord]:
    return [OutRecord(topic, b"k%d" % (n % keys), b"%d" % n, [("n", b"%d" % n)]) for n in numbers]


def read(settings: Settings, topic: str) -> list[InRecord]:
    return list(read_all(settings, [topic], 0.5))


def numbers_by_key(found: list[InRecord]) -> dict[bytes | None, list[int]]:
    by_key: dict[bytes | None, list[int]] = {}
    for record in sorted(found, key=lambda record: (record.partition, record.offset)):
        by_key.setdefault(record.key, []).append(int(record.value))
    return by_key


def test_confirmed_records_are_there_in_order_with_key_and_headers(settings, producer, topic):
    deliveries = [producer.publish(records(topic, range(n, n + 500))) for n in range(0, 2000, 500)]
    for delivery in deliveries:
        assert delivery.wait(10, hurry=True)
        assert delivery.failure() is None
    found = read(settings, topic)
    assert len(found) == 2000
    assert numbers_by_key(found) == {b"k%d" % k: list(range(k, 2000, 5)) for k in range(5)}
    assert found[0].headers == (("n", found[0].value),)
    partitions = {record.key: record.partition for record in found}
    assert all(partitions[record.key] == record.partition for record in found)


def test_a_key_goes_where_the_librarys_own_partitioner_sends_it(settings, producer, topic):
    from kafka.partitioner import murmur2

    assert producer.publish(records(topic, range(40), keys=40)).wait(10, hurry=True)
    for record in read(settings, topic):
        assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % settings.kafka_topic_partitions


def test_a_message_just_below_the_limit_arrives(settings, producer, topic):
    record = OutRecord(topic, b"k", b"x" * (MAX_MESSAGE_BYTES - 1000), [])
    assert record.size_bytes < producer.max_record_bytes
    delivery = producer.publish([record])
    assert delivery.wait(15, hurry=True)
    assert delivery.failure() is None
    assert len(read(settings, topic)[0].value) == len(record.value)


def test_what_is_too_large_says_so_and_stops_what_comes_after_it(settings, producer, topic):
    before, after = records(topic, range(3)), records(topic, range(3, 6))
    delivery = producer.publish([*before, OutRecord(topic, b"k", b"x" * (MAX_MESSAGE_BYTES + 1), []), *after])
    delivery.wait(10, hurry=True)
    failure = delivery.failure()
    assert failure is not None
    # What came before it may have been given up with it, and is sent again from there.
    assert failure.place <= 3
    assert "messagesizetoolarge" in failure.reason.lower().replace("_", "").replace("msg", "message")
    assert {int(record.value) for record in read(settings, topic)} <= {0, 1, 2}


def test_waiting_ends_in_time_when_the_broker_hangs_and_goes_on_afterwards(settings, producer, topic, fresh_kafka):
    assert producer.publish(records(topic, range(5))).wait(10, hurry=True)
    fresh_kafka.pause()
    try:
        delivery = producer.publish(records(topic, range(5, 10)))
        began = time.monotonic()
        assert not delivery.wait(0.5, hurry=True)
        assert not delivery.wait(0.5, hurry=False)
        assert time.monotonic() - began < 3
        failure = delivery.failure()
        assert failure is not None
        assert failure.reason == "no answer in time"
    finally:
        fresh_kafka.resume()
    assert delivery.wait(15, hurry=False)
    assert delivery.failure() is None
    assert numbers_by_key(read(settings, topic)) == {b"k%d" % k: [k, k + 5] for k in range(5)}


def test_closing_while_the_broker_hangs_is_quick_and_sends_nothing_later(settings, producer, topic, fresh_kafka):
    assert producer.publish(records(topic, range(5))).wait(10, hurry=True)
    fresh_kafka.pause()
    try:
        delivery = producer.publish(records(topic, range(5, 10)))
        producer.publish(records(topic, range(10, 2000)))
        began = time.monotonic()
        producer.close()
        assert time.monotonic() - began < 3
        assert delivery.wait(1, hurry=False)
        assert delivery.failure() is not None
    finally:
        fresh_kafka.resume()
    # What was on the wire already may still arrive: of each key the first ones, in order, and then no more.
    found = numbers_by_key(read(settings, topic))
    for key, numbers in found.items():
        assert numbers == list(range(int((key or b"")[1:]), 2000, 5))[: len(numbers)]
    assert numbers_by_key(read(settings, topic)) == found


def test_a_broker_that_forgot_the_producer_fails_it_with_the_reason(
    settings, producer, adapter, topic, admin, fresh_kafka
):
    assert producer.publish(records(topic, range(50))).wait(10, hurry=True)
    fresh_kafka.kill()
    fresh_kafka.restart()
    again = TopicAdmin(settings)
    again.ensure([topic])
    again.close()
    delivery = producer.publish(records(topic, range(50, 100)))
    assert delivery.wait(25, hurry=True)
    failure = delivery.failure()
    assert failure is not None
    # librdkafka asks again, for as long as the delivery may take.
    assert ("UnknownProducerId" if adapter is KafkaPythonProducer else "TIMED_OUT") in failure.reason
    assert not failure.too_large
    later = producer.publish(records(topic, range(100, 150)))
    assert later.wait(5, hurry=True)
    assert later.failure() is not None
    fresh = adapter(settings)
    delivery = fresh.publish(records(topic, range(50, 150)))
    assert delivery.wait(10, hurry=True)
    assert delivery.failure() is None
    fresh.close()
    assert numbers_by_key(read(settings, topic)) == {b"k%d" % k: list(range(50 + k, 150, 5)) for k in range(5)}


def test_topics_that_were_there_before_and_topics_made_later_go_together(settings, producer, adapter, topic, admin):
    """kafka-python knows the first from its bootstrap alone, and forgot them when it looked for the second."""
    fresh = adapter(settings)
    assert fresh.publish(records(topic, range(5))).wait(5, hurry=True)
    admin.ensure([topic + "-later"])
    began = time.monotonic()
    for _ in range(3):
        delivery = fresh.publish(records(topic, range(100)) + records(topic + "-later", range(5)))
        assert delivery.wait(5, hurry=True)
        assert delivery.failure() is None
    assert time.monotonic() - began < 3
    fresh.close()


def test_topics_are_never_made_by_sending(settings, producer, topic, admin):
    delivery = producer.publish([OutRecord("nobody-made-this", b"k", b"v", [])])
    assert delivery.wait(1, hurry=True)
    failure = delivery.failure()
    assert failure is not None
    assert "nobody-made-this" not in admin.names()


def test_no_broker_is_said_within_seconds(settings, adapter, fresh_kafka):
    fresh_kafka.kill()
    began = time.monotonic()
    with pytest.raises(SinkUnavailable):
        adapter(settings)
    with pytest.raises(SinkUnavailable):
        TopicAdmin(settings)
    assert time.monotonic() - began < 8
