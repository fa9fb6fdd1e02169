"""Hints and publishing: swift and silent, whether Redis is there, gone, or hangs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu.exceptions import OperationalError

from tasks.queue import hints
from tasks.queue.app import BridgeCelery, create_celery
from tasks.queue.hints import send_hint
from tasks.settings import Settings

LIMIT_S = 0.55


@pytest.fixture
def app(settings: Settings) -> Iterator[BridgeCelery]:
    made = create_celery(settings, "test")
    yield made
    made.close()


def timed(app: BridgeCelery) -> tuple[bool, float]:
    began = time.monotonic()
    sent = send_hint(app, "hooks.handle", [["id"]], queue="hooks")
    return sent, time.monotonic() - began


def test_a_hint_becomes_one_message(app: BridgeCelery, redis_url: str) -> None:
    assert timed(app)[0] is True
    assert redis.Redis.from_url(redis_url).llen("hooks") == 1


def test_redis_gone(settings: Settings) -> None:
    app = create_celery(dataclasses.replace(settings, redis_url="redis://127.0.0.1:1/0"), "test")
    for _ in range(3):
        sent, took_s = timed(app)
        assert sent is False
        assert took_s < LIMIT_S
    began = time.monotonic()
    with pytest.raises(OperationalError):
        app.send_task("demo.fib", args=[1], ignore_result=True)
    assert time.monotonic() - began < LIMIT_S


@pytest.mark.parametrize("connected", [True, False])
def test_redis_that_accepts_and_hangs(
    app: BridgeCelery, valkey_server: Any, connected: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if connected:
        assert timed(app)[0] is True
    valkey_server.pause()
    try:
        for _ in range(3):
            sent, took_s = timed(app)
            assert sent is False
            assert took_s < LIMIT_S
        began = time.monotonic()
        with pytest.raises(OperationalError):
            app.send_task("demo.fib", args=[1], ignore_result=True)
        assert time.monotonic() - began < LIMIT_S
    finally:
        valkey_server.resume()
    assert caplog.text.count("hints-paused") == 1


def test_hints_flow_again_after_the_circuit_was_open(
    app: BridgeCelery, valkey_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "_CIRCUIT_RESET_S", 0.3)
    assert timed(app)[0] is True
    valkey_server.kill()
    assert timed(app)[0] is False
    valkey_server.restart()
    deadline = time.monotonic() + 10
    while not timed(app)[0]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_restart_of_redis_costs_no_hint(app: BridgeCelery, valkey_server: Any) -> None:
    assert timed(app)[0] is True
    valkey_server.kill()
    valkey_server.restart()
    assert timed(app)[0] is True


def test_only_an_app_of_ours_sends_hints() -> None:
    from celery import Celery

    with pytest.raises(TypeError):
        send_hint(Celery("other"), "x", [], queue="hooks")
