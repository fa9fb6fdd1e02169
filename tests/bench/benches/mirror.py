"""P10: what the mirror costs Celery: draining no-op tasks, prefork with two processes, acknowledged late.

Each run fills a queue, starts a worker, and takes the time from when a twentieth of the tasks is gone until the queue
is empty, so that the start of the worker is no part of it.
"""

from __future__ import annotations

import time

from celery import Celery

from tasks.queue.app import create_celery
from tests.bench.baselines import plain_celery
from tests.bench.baselines.noop import NAME, QUEUE
from tests.bench.model import Bar, Bench, BenchError, Outcome, Plan, Sample, Side
from tests.bench.pairs import in_turn
from tests.bench.servers import Ground, Program
from tests.bench.system import ground_of

OFF = "mirror off"
STREAM = "stream alone"
ON = "mirror on"
_TASKS = 4_000
_SMOKE_TASKS = 200
_PLAIN_DATABASE = 1
_POLL_S = 0.01
_DRAINED_WITHIN_S = 120.0
_STREAM_KEY = "omninode:task-states"
_WORKER = ("-Q", QUEUE, "--concurrency", "2")
_MIRRORED = "SELECT count(*) FROM task_states WHERE name = %s AND state = %s"


def run(plan: Plan) -> Outcome:
    """Runs plain Celery, our app with nobody at the stream, and our app with the drain at work."""
    tasks = plan.counted(_TASKS, _SMOKE_TASKS)
    with ground_of(plan) as ground:
        sides = _Sides(ground, tasks)
        try:
            rounds = in_turn([Side(OFF, sides.off), Side(STREAM, sides.stream), Side(ON, sides.on)], plan)
        finally:
            sides.close()
    notes = [
        f"{tasks:,} tasks a run; log level WARNING on all sides.",
        f"{OFF}: a plain Celery app with the same settings. {STREAM}: our app, transitions go to the Redis stream. "
        f"{ON}: the drain also brings them to PostgreSQL, on the same cores; each task was found there as succeeded.",
        "cpu_us_per_task: of worker, drain and all servers; it moves less with other load on the machine.",
    ]
    return Outcome(rounds, notes=notes)


class _Sides:
    def __init__(self, ground: Ground, tasks: int) -> None:
        self._ground = ground
        self._tasks = tasks
        imports = ",".join(plain_celery.IMPORTS)
        url = ground.redis_database(_PLAIN_DATABASE)
        self._ours_environ = ground.environ(LOG_LEVEL="WARNING", OMNINODE_IMPORTS=imports)
        self._plain_environ = ground.environ(LOG_LEVEL="WARNING", REDIS_URL=url)
        self._plain = plain_celery.make(ground.settings(REDIS_URL=url))
        self._ours = create_celery(ground.settings(), role="bench")

    def close(self) -> None:
        self._ours.bridge.close()
        self._ours.close()
        self._plain.close()

    def off(self) -> Sample:
        app, place = "tests.bench.baselines.plain_celery:app", _PLAIN_DATABASE
        return self._drained("plain", self._plain, app, place, self._plain_environ)

    def stream(self) -> Sample:
        sample = self._drained("ours", self._ours, "tasks.celery", 0, self._ours_environ)
        self._ground.redis().flushdb()
        return sample

    def on(self) -> Sample:
        bridge = self._ground.worker(
            "bridge", "bridges.celery", "-Q", "bridges", "--concurrency", "1", environ=self._ours_environ
        )
        try:
            self._ours.send_task("bridges.drain", queue="bridges")
            sample = self._drained("ours", self._ours, "tasks.celery", 0, self._ours_environ, bridge)
            began = time.monotonic()
            bridge.wait_until(lambda: self._mirrored("succeeded") == self._tasks)
            lag_s = time.monotonic() - began
        finally:
            self._ground.kill(bridge)
        self._ground.query("TRUNCATE task_states")
        self._ground.redis().flushdb()
        return {**sample, "mirrored_after_s": lag_s}

    def _mirrored(self, state: str) -> int:
        return self._ground.number(_MIRRORED, NAME, state)

    def _drained(
        self,
        name: str,
        app: Celery,
        module: str,
        database: int,
        environ: dict[str, str],
        bridge: Program | None = None,
    ) -> Sample:
        self._ground.settle()
        began = time.monotonic()
        for _ in range(self._tasks):
            app.send_task(NAME, queue=QUEUE)
        published_per_s = self._tasks / (time.monotonic() - began)
        if bridge is not None:
            bridge.wait_until(lambda: self._mirrored("sent") == self._tasks)
        worker = self._ground.worker(name, module, *_WORKER, environ=environ)
        programs = (worker,) if bridge is None else (worker, bridge)
        try:
            return {**self._watch(worker, programs, database), "published_per_s": published_per_s}
        finally:
            self._ground.kill(worker)

    def _watch(self, worker: Program, programs: tuple[Program, ...], database: int) -> dict[str, float]:
        client = self._ground.redis(database)
        left = first = self._tasks
        began = deadline = time.monotonic() + _DRAINED_WITHIN_S
        used_s = 0.0
        while left:
            if time.monotonic() > deadline:
                raise BenchError(f"{left} tasks are left. The end of the worker's log:\n{worker.log_end()}")
            left = int(client.llen(QUEUE))
            if first == self._tasks and left <= 0.95 * self._tasks:
                first, began, used_s = left, time.monotonic(), self._ground.cpu_s(*programs)
            time.sleep(_POLL_S)
        seconds = time.monotonic() - began
        used_s = self._ground.cpu_s(*programs) - used_s
        return {"tasks_per_s": first / seconds, "cpu_us_per_task": 1e6 * used_s / first}


BENCH = Bench(
    "mirror",
    "Celery no-op tasks with the mirror on",
    (
        Bar("P10", "tasks/s with the mirror on, against off", "tasks_per_s", ON, OFF, least=0.9),
        Bar("P10", "tasks/s, stream alone, against off", "tasks_per_s", STREAM, OFF, least=0.9),
    ),
    run,
)
