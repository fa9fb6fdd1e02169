"""Beat: two of them may run, a flush or a restart of Redis stops none, and the schedule follows the settings."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Any

import orjson
import redis

from tasks.queue.schedule import beat_schedule
from tasks.settings import Settings
from tests.integration.conftest import wait_until

SCHEDULE = "omninode:redbeat::schedule"
FAST = {"SWEEP_INTERVAL_S": "0.5", "BEAT_LOCK_TIMEOUT_S": "5"}


def sent(url: str) -> Counter[str]:
    client: Any = redis.Redis.from_url(url)
    return Counter(orjson.loads(message)["headers"]["task"] for message in client.lrange("bridges", 0, -1))


def test_it_sends_what_is_due_to_the_bridges_queue(celery_processes: Any, redis_url: str) -> None:
    celery_processes.beat(**FAST)
    everything = {
        "hooks.sweep",
        "hooks.retention",
        "journal.partitions",
        "states.sweep",
        "states.retention",
        "access.retention",
        "bridges.relay",
        "bridges.drain",
    }
    wait_until(lambda: everything <= set(sent(redis_url)))
    wait_until(lambda: sent(redis_url)["hooks.sweep"] >= 3)


def test_a_flush_is_made_good(celery_processes: Any, redis_url: str, settings: Settings) -> None:
    beat = celery_processes.beat(**FAST)
    client = redis.Redis.from_url(redis_url)
    wait_until(lambda: sent(redis_url)["hooks.sweep"] >= 1)
    for _ in range(3):
        client.flushall()
        wait_until(lambda: sent(redis_url)["hooks.sweep"] >= 2, 10)
        assert client.zcard(SCHEDULE) == len(beat_schedule(settings))
    assert beat.process.poll() is None


def test_redis_killed_frozen_and_back(celery_processes: Any, redis_url: str, valkey_server: Any) -> None:
    beat = celery_processes.beat(**FAST)
    wait_until(lambda: sent(redis_url)["hooks.sweep"] >= 1)
    valkey_server.kill()
    beat.wait_for("beat-waits-for-redis")
    valkey_server.restart()
    beat.wait_for("beat-goes-on")
    before = sent(redis_url)["hooks.sweep"]
    wait_until(lambda: sent(redis_url)["hooks.sweep"] >= before + 2, 20)
    valkey_server.pause()
    wait_until(lambda: beat.output().count("beat-waits-for-redis") == 2)
    valkey_server.resume()
    before = sent(redis_url)["hooks.sweep"]
    wait_until(lambda: sent(redis_url)["hooks.sweep"] >= before + 2, 20)
    assert beat.process.poll() is None


def test_redis_that_comes_later(celery_processes: Any, redis_url: str, valkey_server: Any) -> None:
    valkey_server.kill()
    beat = celery_processes.beat(**FAST)
    beat.wait_for("beat-waits-for-redis")
    valkey_server.restart()
    wait_until(lambda: sent(redis_url)["hooks.sweep"] >= 1)


def test_of_two_beats_one_leads_and_the_other_takes_over(celery_processes: Any, redis_url: str) -> None:
    first = celery_processes.beat(**FAST)
    first.wait_for("beat-leads")
    second = celery_processes.beat(**FAST)
    wait_until(lambda: sent(redis_url)["hooks.sweep"] >= 3)
    assert "beat-leads" not in second.output()
    first.stop()
    second.wait_for("beat-leads", 10)
    third = celery_processes.beat(**FAST)
    second.kill()
    third.wait_for("beat-leads", 25)


def test_a_frozen_leader_steps_back(celery_processes: Any, redis_url: str) -> None:
    first = celery_processes.beat(**FAST)
    first.wait_for("beat-leads")
    second = celery_processes.beat(**FAST)
    os.kill(first.pid, signal.SIGSTOP)
    second.wait_for("beat-leads", 25)
    os.kill(first.pid, signal.SIGCONT)
    first.wait_for("beat-lock-lost", 10)
    assert first.output().count("beat-leads") == 1


def test_the_schedule_follows_the_settings(celery_processes: Any, redis_url: str) -> None:
    slow = celery_processes.beat(SWEEP_INTERVAL_S="3000")
    wait_until(lambda: sent(redis_url)["hooks.sweep"] == 1)
    slow.stop()
    client = redis.Redis.from_url(redis_url)
    client.delete("bridges")
    celery_processes.beat(**FAST)
    wait_until(lambda: sent(redis_url)["hooks.sweep"] >= 3)


def test_messages_do_not_pile_up_where_nobody_works(celery_processes: Any, redis_url: str) -> None:
    beat = celery_processes.beat(SWEEP_INTERVAL_S="0.1")
    client = redis.Redis.from_url(redis_url)
    client.rpush("bridges", *["{}"] * 98)
    beat.wait_for("beat-queue-full")
    assert client.llen("bridges") <= 110
