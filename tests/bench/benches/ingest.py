"""P12: model executions from POST to queryable, against marshmallow and an INSERT for each item.

Batches are posted over a few connections; the time ends when the question about them, asked over HTTP, counts all of
them: by hand from the raw rows, ours from the rollups. No relay runs beside: what Kafka is told, it is told later.
"""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from tests.bench import web
from tests.bench.baselines.execution_tables import SCHEMA
from tests.bench.executions import executions
from tests.bench.model import Bar, Bench, BenchError, Outcome, Plan, Sample, Side
from tests.bench.pairs import in_turn
from tests.bench.servers import Program
from tests.bench.system import System, system_of

OURS = "ours"
BY_HAND = "receiver by hand"
_BATCHES, _SMOKE_BATCHES = 60, 2
_ROWS, _SMOKE_ROWS = 1_000, 50
_CONNECTIONS = 4
_TIMEOUT_S = 60.0
_POLL_S = 0.02
_HOST = "127.0.0.1"


def run(plan: Plan) -> Outcome:
    """Starts both servers, and posts to them in turn."""
    batches, rows = plan.counted(_BATCHES, _SMOKE_BATCHES), plan.counted(_ROWS, _SMOKE_ROWS)
    with system_of(plan) as system:
        sides = _Sides(system, batches, rows)
        rounds = in_turn([Side(BY_HAND, sides.by_hand), Side(OURS, sides.ours)], plan)
    notes = [
        f"{batches} batches of {rows:,} executions of 32 kinds over {_CONNECTIONS} connections; each was answered as "
        "recorded, and the question at the end counted all of them.",
        "visible_ms: from the last answer to the question's answer that counts all.",
        "cpu_us_per_execution: of all servers and programs of a side; it moves less with other load on the machine.",
    ]
    return Outcome(rounds, notes=notes)


class _Sides:
    def __init__(self, system: System, batches: int, rows: int) -> None:
        self._ground = ground = system.ground
        self._system = system
        self._batches = batches
        self._rows = rows
        self._by_hand_url = ground.database("executions_by_hand")
        ground.query(SCHEMA, url=self._by_hand_url)
        environ = ground.bare_environ(DATABASE_URL=self._by_hand_url)
        self._by_hand = web.baseline(ground, "executions-by-hand", "execution_receiver", environ)
        web.wait(self._by_hand)

    def ours(self) -> Sample:
        program, port = self._system.gunicorn
        return self._posted(port, self._system.headers, program, self._system.metrics_worker)

    def by_hand(self) -> Sample:
        program, port = self._by_hand
        return self._posted(port, {}, program)

    def _posted(self, port: int, headers: Mapping[str, str], *programs: Program) -> Sample:
        self._ground.settle()
        run = secrets.token_hex(4)
        # Whole milliseconds, as the executions have them: by hand the window is not rounded outwards.
        until = datetime.now(UTC).replace(microsecond=0)
        since = until - timedelta(minutes=1)
        made = executions(run, self._batches * self._rows, since, until)
        bodies = [json.dumps({"executions": part}).encode() for part in _parts(made, self._rows)]
        wanted = {"since": since.isoformat(), "until": (until + timedelta(minutes=1)).isoformat()}
        before_s = self._ground.cpu_s(*programs)
        began = time.monotonic()
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            shares = [bodies[place::_CONNECTIONS] for place in range(_CONNECTIONS)]
            recorded = sum(pool.map(lambda share: _post_all(port, headers, share), shares))
        answered = time.monotonic()
        if recorded != len(made):
            raise BenchError(f"{len(made)} executions were posted, {recorded} are recorded")
        _wait_visible(port, headers, run, wanted, len(made))
        ended = time.monotonic()
        cpu_us = 1e6 * (self._ground.cpu_s(*programs) - before_s) / len(made)
        return {
            "executions_per_s": len(made) / (ended - began),
            "visible_ms": 1e3 * (ended - answered),
            "cpu_us_per_execution": cpu_us,
        }


def _parts(made: list[dict[str, object]], rows: int) -> Iterator[list[dict[str, object]]]:
    for start in range(0, len(made), rows):
        yield made[start : start + rows]


def _post_all(port: int, headers: Mapping[str, str], bodies: list[bytes]) -> int:
    """Posts batches over one connection; returns how many executions were recorded as new."""
    connection = http.client.HTTPConnection(_HOST, port, timeout=_TIMEOUT_S)
    recorded = 0
    try:
        for body in bodies:
            connection.request("POST", "/metrics/executions", body, {**headers, "Content-Type": "application/json"})
            response = connection.getresponse()
            raw = response.read()
            if response.status != 207:
                raise BenchError(f"a batch was answered {response.status}: {raw[:500]!r}")
            recorded += sum(not item["duplicate"] for item in json.loads(raw)["successes"])
    finally:
        connection.close()
    return recorded


def _wait_visible(port: int, headers: Mapping[str, str], run: str, wanted: Mapping[str, str], count: int) -> None:
    """Asks until the answer counts all executions of the run."""
    deadline = time.monotonic() + _TIMEOUT_S
    connection = http.client.HTTPConnection(_HOST, port, timeout=_TIMEOUT_S)
    try:
        while True:
            connection.request("GET", f"/metrics/performance?{urlencode(wanted)}", headers=dict(headers))
            response = connection.getresponse()
            raw = response.read()
            if response.status != 200:
                raise BenchError(f"the question was answered {response.status}: {raw[:500]!r}")
            items = json.loads(raw)["items"]
            counted = sum(item["count"] for item in items if item["model"].startswith(run))
            if counted == count:
                return
            if counted > count or time.monotonic() > deadline:
                raise BenchError(f"{count} executions were recorded, and the question counts {counted}")
            time.sleep(_POLL_S)
    finally:
        connection.close()


BENCH = Bench(
    "ingest",
    "model executions, from POST to queryable",
    (Bar("P12", "executions/s against the receiver by hand", "executions_per_s", OURS, BY_HAND, least=10.0),),
    run,
)
