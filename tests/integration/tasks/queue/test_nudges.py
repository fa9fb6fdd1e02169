"""Nudges and the courier: one listener, woken at once; where nobody listens, a message, and not one for each wish."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from tasks.queue.app import BridgeCelery, create_celery
from tasks.queue.courier import Courier
from tasks.queue.nudges import Ears, nudge
from tasks.settings import Settings
from tests.integration.conftest import wait_until

JOB = "hooks.handle"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    made = redis.Redis.from_url(redis_url, socket_timeout=5)
    yield made
    made.close()


@pytest.fixture
def app(settings: Settings) -> Iterator[BridgeCelery]:
    made = create_celery(settings, "test")
    yield made
    made.close()


def test_who_listens_is_woken(client: redis.Redis) -> None:
    with Ears(client, JOB) as ears, ThreadPoolExecutor(1) as pool:
        assert not ears.deaf
        woken = pool.submit(ears.wait, 4.0)
        wait_until(lambda: any(one["cmd"] == "blpop" for one in client.client_list()), 5)
        began = time.monotonic()
        assert nudge(client, JOB) is True
        assert woken.result(5) is True
        assert time.monotonic() - began < 1.0


def test_a_nudge_between_two_looks_is_kept_and_many_are_one(client: redis.Redis) -> None:
    with Ears(client, JOB) as ears:
        for _ in range(5):
            assert nudge(client, JOB)
        assert ears.wait(0.05) is True
        assert ears.wait(0.05) is False


def test_one_listens_at_a_time_and_who_leaves_says_so(client: redis.Redis) -> None:
    with Ears(client, JOB) as first:
        with Ears(client, JOB) as second:
            assert (first.deaf, second.deaf) == (False, True)
            assert second.wait(0.01) is False
        assert nudge(client, JOB) is True
        with Ears(client, "another") as other:
            assert other.deaf is False
    assert nudge(client, JOB) is False
    with Ears(client, JOB) as third:
        assert third.deaf is False


def test_who_must_listen_takes_over_from_one_that_died(client: redis.Redis) -> None:
    dead = Ears(client, JOB)
    dead.__enter__()
    with Ears(client, JOB) as ears:
        assert ears.deaf

        def heard() -> bool:
            ears.try_again()
            return not ears.deaf

        wait_until(heard, 5)


def test_who_was_too_busy_to_keep_its_place_takes_it_again(client: redis.Redis) -> None:
    with Ears(client, JOB) as ears:
        client.flushall()
        assert nudge(client, JOB) is False
        ears._asked_at = 0.0
        ears.keep()
        assert not ears.deaf
        assert nudge(client, JOB) is True
    assert nudge(client, JOB) is False


def test_who_lost_its_place_to_another_is_deaf_and_leaves_it_to_the_other(client: redis.Redis) -> None:
    with Ears(client, JOB) as ears:
        client.flushall()
        with Ears(client, JOB) as other:
            ears._asked_at = other._asked_at = 0.0
            ears.keep()
            assert ears.deaf
            other.keep()
            assert not other.deaf
            assert nudge(client, JOB) is True


def test_without_redis_everybody_is_deaf() -> None:
    with Ears(redis.Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=0.2), JOB) as ears:
        assert ears.deaf
        assert ears.wait(0.01) is False


def test_a_courier_sends_few_messages_for_many_wishes(app: BridgeCelery, client: redis.Redis) -> None:
    courier = Courier(app.bridge_hints, JOB, "hooks")
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        courier.wish()
    wait_until(lambda: client.llen("hooks") >= 1, 5)
    assert client.llen("hooks") <= 7


def test_a_courier_wakes_the_listener_instead(app: BridgeCelery, client: redis.Redis) -> None:
    courier = Courier(app.bridge_hints, JOB, "of-its-own")
    with Ears(client, JOB) as ears:
        courier.wish()
        assert ears.wait(4.0) is True
    assert client.llen("of-its-own") == 0


def test_a_courier_never_holds_up_who_wishes(settings: Settings, valkey_server: object) -> None:
    hanging = create_celery(settings, "test")
    courier = Courier(hanging.bridge_hints, JOB, "hooks")
    valkey_server.pause()  # type: ignore[attr-defined]
    try:
        began = time.monotonic()
        for _ in range(1000):
            courier.wish()
        assert time.monotonic() - began < 0.5
    finally:
        valkey_server.resume()  # type: ignore[attr-defined]
    assert threading.active_count() < 50
    hanging.close()
