"""Readers on a real broker: everything there is, and what comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bridges.kafka.admin import TopicAdmin
from bridges.kafka.connection import SinkUnavailable
from bridges.kafka.consumer import InRecord, read_all, tail
from bridges.kafka.producer import KafkaPythonProducer, OutRecord
from tasks.settings import Settings
from webapp.stack.process import ServerProcess


class Feed:
    """Makes topics and sends to them."""

    def __init__(self, settings: Settings) -> None:
        self._admin = TopicAdmin(settings)
        self._producer = KafkaPythonProducer(settings)

    def send(self, topic: str, *values: bytes) -> None:
        self._admin.ensure([topic])
        delivery = self._producer.publish([OutRecord(topic, value, value, []) for value in values])
        assert delivery.wait(10, hurry=True)
        assert delivery.failure() is None

    def close(self) -> None:
        self._producer.close()
        self._admin.close()


@pytest.fixture
def feed(settings: Settings, fresh_kafka: ServerProcess) -> Iterator[Feed]:
    feed = Feed(settings)
    yield feed
    feed.close()


def values(records: list[InRecord]) -> list[bytes]:
    return sorted(record.value for record in records)


def test_all_records_of_the_topics_are_read(settings: Settings, feed: Feed):
    feed.send("a", *(b"%04d" % n for n in range(5000)))
    feed.send("b", b"x")
    feed.send("c", b"other")
    found = list(read_all(settings, ["a", "b", "missing"], 0.5))
    assert values(found) == [*(b"%04d" % n for n in range(5000)), b"x"]
    assert "missing" not in TopicAdmin(settings).names()


def test_nothing_to_read_ends_at_once(settings: Settings, feed: Feed):
    assert list(read_all(settings, ["missing"], 0.2)) == []


def test_a_tail_shows_what_comes_and_not_what_was_there(settings: Settings, feed: Feed):
    feed.send("a", b"old")
    began, stop = threading.Event(), threading.Event()

    def stopped() -> bool:
        began.set()
        return stop.is_set()

    def follow() -> list[bytes]:
        found = []
        for record in tail(settings, lambda name: name in ("a", "new"), stopped):
            found.append(record.value)
            if len(found) == 2:
                break
        return found

    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(follow)
        try:
            assert began.wait(10)
            feed.send("a", b"one")
            feed.send("new", b"two")
            assert following.result(15) == [b"one", b"two"]
        finally:
            stop.set()


def test_a_tail_from_the_beginning_shows_all(settings: Settings, feed: Feed):
    feed.send("a", b"1", b"2", b"3")
    found: list[InRecord] = []
    for record in tail(settings, lambda name: name == "a", lambda: len(found) == 3, from_beginning=True):
        found.append(record)
    assert values(found) == [b"1", b"2", b"3"]


def test_no_broker_is_an_error_of_ours(settings: Settings, fresh_kafka: ServerProcess):
    fresh_kafka.kill()
    began = time.monotonic()
    with pytest.raises(SinkUnavailable):
        list(read_all(settings, ["a"], 0.2))
    assert time.monotonic() - began < 5
