"""P3: how long after a webhook was due its outcome is visible on Kafka, under half of the load that P1 measures.

Gunicorn, worker, bridge worker and beat run as in `omninode up`. First gunicorn alone is asked for all that it can
take; then the workers start, and half of that is posted by the clock. The time of a hook runs from when its request
was due to when a consumer has its ``handled`` event.
"""

from __future__ import annotations

import re
import secrets
import statistics
import time
from collections import defaultdict
from dataclasses import replace
from functools import partial

from bridges.onex.topics import topic_for
from tests.bench.load import Hooks, closed, paced, percentile
from tests.bench.model import Bar, Bench, BenchError, Outcome, Plan, Round, Sample, Series, Side
from tests.bench.pairs import in_turn
from tests.bench.servers import cpu_s
from tests.bench.system import System, system_of
from tests.bench.witness import Sightings

HALF = "half load"
EIGHTH = "an eighth"
_SHARES = {HALF: 0.5, EIGHTH: 0.125}
CONNECTIONS = 32
_SECONDS = 10.0
_SMOKE_S = 1.0
_PROBES = 3
_PROBE_S = 2.0
_SMOKE_PER_S = 50.0
_SETTLED_WITHIN_S = 120.0
_BIN_S = 0.25
_STORED = "SELECT count(*) FROM inbox"
_COUNTED = ("gunicorn", "worker", "bridge_worker")
# What a hook of ``Hooks`` is told as when it is handled.
_EVENT_TYPE = "service-startup"
_ID = re.compile(rb'"event_id":\s*"([0-9a-f-]{36})"')


def run(plan: Plan) -> Outcome:
    """Each round has servers of its own: it measures the load, starts the workers, lets them catch up, and posts."""
    rounds: list[Round] = []
    series: list[Series] = []
    probed: list[float] = []
    for number in range(1, plan.pairs + 1):
        plan.say(f"  {number} of {plan.pairs}")
        own = replace(plan, folder=plan.folder / f"round-{number}", pairs=1)
        own.folder.mkdir(parents=True)
        with system_of(own) as system:
            stack = _Stack(system, own)
            probed.append(stack.most_per_s())
            stack.start_workers()
            sides = [Side(name, partial(stack.posted, name, share * probed[-1])) for name, share in _SHARES.items()]
            rounds += in_turn(sides, own)
            series += stack.series
            stack.close()
    notes = [
        f"gunicorn alone took {statistics.median(probed):,.0f} requests/s; shares of what it took were posted, "
        f"{stack.seconds:g} s a run.",
        "Each round on new servers: the embedded broker takes longer the more it holds, 50 to 250 us a hook within "
        "five rounds, as no broker does that keeps its log in files.",
        "p50_ms, p99_ms: from when a request was due to its event `handled` at a consumer; answered_…: to the 202.",
    ]
    return Outcome(rounds, series, notes)


class _Stack:
    def __init__(self, system: System, plan: Plan) -> None:
        self.series: list[Series] = []
        self.seconds = plan.sized(_SECONDS, _SMOKE_S)
        self._smoke = plan.smoke
        self._system = system
        self._ground = system.ground
        self._port = system.port
        self._path = plan.folder / "sightings"
        self._sightings = Sightings(self._path)
        self._expected = system.ground.number(_STORED)

    def close(self) -> None:
        self._sightings.close()
        self._path.unlink()

    def most_per_s(self) -> float:
        """How much the server takes while nobody handles it: P1's figure."""
        if self._smoke:
            return 2 * _SMOKE_PER_S
        rates = []
        for _ in range(_PROBES):
            self._ground.settle()
            tally = closed(self._hooks(), CONNECTIONS, _PROBE_S)
            tally.check()
            self._expected += tally.accepted_in_all
            rates.append(tally.sample()["requests_per_s"])
        return statistics.median(rates)

    def start_workers(self) -> None:
        """Starts what `omninode up` starts besides, and waits until all that was posted is on Kafka."""
        ground = self._ground
        self._parts = {name: self._system.programs[name] for name in _COUNTED}
        topic = topic_for(_EVENT_TYPE, ground.settings().environment)
        ground.start("witness", "tests.bench.witness", topic, str(self._path), environ=ground.environ())
        self._post(0.5, _SMOKE_PER_S)
        self._wait_until_seen()

    def posted(self, name: str, per_s: float) -> Sample:
        """One run at a load."""
        self._ground.settle()
        before_s = self._cpu_s()
        due_of, answered = self._post(self.seconds, per_s)
        self._wait_until_seen()
        after_s = self._cpu_s()
        seen_at = self._sightings.seen_at
        waits = sorted((due, 1000 * (seen_at[key] - due)) for key, due in due_of.items())
        self.series.append(_curve(name, waits))
        latencies_ms = sorted(wait for _, wait in waits)
        return {
            "p50_ms": percentile(latencies_ms, 0.50),
            "p99_ms": percentile(latencies_ms, 0.99),
            "most_ms": latencies_ms[-1],
            "answered_p50_ms": answered["p50_ms"],
            "answered_p99_ms": answered["p99_ms"],
            "hooks_per_s": answered["requests_per_s"],
            **{f"{part}_us_per_hook": 1e6 * (after_s[part] - before_s[part]) / len(due_of) for part in after_s},
        }

    def _cpu_s(self) -> dict[str, float]:
        """The processor time of each part."""
        programs = {name: cpu_s(program.processes()) for name, program in self._parts.items()}
        return {**programs, **self._ground.servers_cpu_s()}

    def _post(self, seconds: float, per_s: float) -> tuple[dict[str, float], Sample]:
        """Posts by the clock; returns when each hook was due, by its id, and the figures of the answers."""
        due_of: dict[str, float] = {}

        def keep(due: float, _sent: float, answer: bytes) -> None:
            found = _ID.search(answer)
            if found is None:
                raise BenchError(f"an answer without an event_id: {answer[:300]!r}")
            due_of[found[1].decode()] = due

        tally = paced(self._hooks(), CONNECTIONS, seconds, per_s, keep)
        tally.check()
        self._expected += tally.accepted_in_all
        return due_of, tally.sample()

    def _wait_until_seen(self) -> None:
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while (seen := self._sightings.update()) < self._expected:
            if time.monotonic() > deadline:
                raise BenchError(
                    f"of {self._expected} accepted hooks {seen} came to Kafka in {_SETTLED_WITHIN_S:g} s"
                )
            time.sleep(0.05)

    def _hooks(self) -> Hooks:
        return Hooks(self._port, secrets.token_hex(4), self._system.headers)


def _curve(name: str, waits: list[tuple[float, float]]) -> Series:
    """The median wait in each quarter of a second, by when the hooks were due."""
    first = waits[0][0]
    bins: dict[int, list[float]] = defaultdict(list)
    for due, wait in waits:
        bins[int((due - first) / _BIN_S)].append(wait)
    places = sorted(bins)
    medians = [statistics.median(bins[place]) for place in places]
    return Series(
        name, "ms until visible on Kafka (median of each quarter second)", [p * _BIN_S for p in places], medians
    )


BENCH = Bench(
    "latency",
    "webhook to Kafka at half load",
    (
        Bar("P3", "p50, ms", "p50_ms", HALF, most=100),
        Bar("P3", "p99, ms", "p99_ms", HALF, most=500),
    ),
    run,
)
