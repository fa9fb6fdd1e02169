"""Many runs at once, each with a map and a join: all succeed, each effect once, and what they leave is bounded.

``MANY_RUNS=1000 pytest tests/integration/tasks/workflows/test_many.py`` is the long form.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
import redis

from tests.integration.conftest import wait_until
from tests.integration.tasks.workflows.engine import Engine

RUNS = int(os.environ.get("MANY_RUNS", "100"))
# Of a worker's process: what it keeps for the runs at hand comes to an end.
GROWTH_LIMIT_BYTES = 24 << 20
pytestmark = pytest.mark.timeout(120 + RUNS)


def _graph() -> dict[str, Any]:
    effect = {"kind": "task", "with": {"task": "test.effect"}}
    middle = [{"key": f"m{n}", "needs": ["start"], **effect} for n in range(3)]
    items = {"key": "map", "kind": "map", "needs": ["start"], "with": {"over": [1, 2, 3], "step": effect}}
    join = {"key": "join", "needs": [*(step["key"] for step in middle), "map"], **effect}
    return {"steps": [{"key": "start", "kind": "wait", "with": {"until": "${{ input.at }}"}}, *middle, items, join]}


GRAPH = _graph()
EFFECTS = dict.fromkeys(["m0", "m1", "m2", "map/0", "map/1", "map/2", "join"], 1)


def _memory(engine: Engine) -> dict[int, int]:
    """Bytes of each process of the pools, by its id."""
    return {
        process.pid: process.memory_info().rss
        for pid in engine.pids
        for process in psutil.Process(pid).children()
        if process.is_running()
    }


def _run_many(engine: Engine, count: int, begins_after_s: float) -> float:
    """Has so many runs begin at once; how long they took from there."""
    at = datetime.now(UTC) + timedelta(seconds=begins_after_s)
    run_ids = [str(engine.submit(GRAPH, {"at": at.isoformat()})) for _ in range(count)]
    ids = {"ids": run_ids}
    states = "SELECT state, count(*) AS count FROM runs WHERE id = ANY(%(ids)s::uuid[]) GROUP BY state"
    assert engine.rows(states, **ids) == [{"state": "running", "count": count}], "not all at once"
    assert datetime.now(UTC) < at
    wait_until(
        lambda: "running" not in {row["state"] for row in engine.rows(states, **ids)},
        60 + count / 5,
        "the end of all",
    )
    took_s = (datetime.now(UTC) - at).total_seconds()
    assert engine.rows(states, **ids) == [{"state": "succeeded", "count": count}]
    made = Counter(
        row["key"]
        for row in engine.rows("SELECT key FROM effects WHERE split_part(key, '/', 1) = ANY(%(ids)s)", **ids)
    )
    assert made == {f"{run_id}/{key}": 1 for run_id in run_ids for key in EFFECTS}
    return took_s


def test_many_runs_at_once(engine: Engine) -> None:
    _run_many(engine, 20, 1.0)
    before = _memory(engine)
    took_s = _run_many(engine, RUNS, RUNS / 50)
    grown = {pid: size - before[pid] for pid, size in _memory(engine).items() if pid in before}
    print(f"{RUNS} runs of {len(EFFECTS)} effects in {took_s:.1f} s; grown by {max(grown.values()) / 2**20:.1f} MiB")
    assert set(grown) == set(before), "a process has died"
    assert max(grown.values()) < GROWTH_LIMIT_BYTES


def test_runs_leave_nothing_in_redis(engine: Engine) -> None:
    client = redis.Redis.from_url(engine.settings.redis_url, socket_timeout=5, decode_responses=True)
    effect = {"kind": "task", "with": {"task": "test.effect"}}
    keys = [f"w{n}" for n in range(20)]
    # Wide enough to travel as a chord.
    wide = [*({"key": key, **effect} for key in keys), {"key": "end", "needs": keys, **effect}]

    def left_by(runs: int) -> set[str]:
        for _ in range(runs):
            assert engine.run({"steps": wide})["state"] == "succeeded"
            assert engine.run(GRAPH, {"at": datetime.now(UTC).isoformat()})["state"] == "succeeded"
        # A queue is a key for each priority while something waits in it; what expires in seconds is nobody's burden.
        kept = {key for key in client.scan_iter(count=1000) if not 0 <= client.ttl(key) < 60}
        return {key for key in kept if key.split("\x06")[0] not in ("workflows", "bridges")}

    first = left_by(2)
    more = sorted(left_by(6) - first)
    assert more == [], [client.get(key) for key in more if client.type(key) == "string"]
    client.close()
