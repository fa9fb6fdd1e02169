"""Three times more than the whole system can take, for a minute: what is accepted stays quick, nothing is lost."""

from __future__ import annotations

import secrets
import time

from tests.bench.load import Hooks, paced
from tests.bench.model import Bar, Bench, BenchError, Outcome, Plan, Sample, Side
from tests.bench.pairs import in_turn
from tests.bench.sustained import CONNECTIONS, settle, sustained
from tests.bench.system import System, system_of

SIDE = "3 x sustainable"
CALM = "half of it"
# More than both processes take in at once, so that the bound is what holds.
_CROWD = 512
_OVERLOAD_S = 60.0
_CALM_S = 10.0
_SMOKE_S = 1.0
_STORED = "SELECT count(*) FROM inbox"
_REFUSED = 503


def run(plan: Plan) -> Outcome:
    """Finds what the system sustains with its workers running, then posts half of it, and three times as much."""
    with system_of(plan) as system:
        crowd = _Crowd(system, plan)
        per_s = crowd.sustained_per_s()
        seconds = plan.sized(_OVERLOAD_S, _SMOKE_S)
        sides = [
            Side(CALM, lambda: crowd.post(CONNECTIONS, plan.sized(_CALM_S, _SMOKE_S), per_s / 2)),
            Side(SIDE, lambda: crowd.post(_CROWD, seconds, 3 * per_s)),
        ]
        rounds = in_turn(sides, plan, warm_up=False)
        crowd.check()
    notes = [f"The whole system sustains {per_s:,.0f} hooks/s; {crowd.accepted:,} accepted, none lost."]
    return Outcome(rounds, notes=notes)


class _Crowd:
    def __init__(self, system: System, plan: Plan) -> None:
        self._system = system
        self._ground = system.ground
        self._plan = plan
        self._before = system.ground.number(_STORED)
        self.accepted = self.refused = 0
        system.programs  # noqa: B018 - starts what is not there yet

    def sustained_per_s(self) -> float:
        """What it takes from 32 connections while workers and bridges work beside."""
        per_s, posted = sustained(self._system, self._plan)
        self.accepted += posted
        return per_s

    def post(self, connections: int, seconds: float, per_s: float) -> Sample:
        """One run; latencies are those of what was accepted.

        They count from when a request was sent: where the server cannot even refuse so many, requests wait at the
        client for a connection, and that queue grows for as long as the crowd comes. ``from_due`` counts it in.
        """
        waits_ms: list[float] = []
        from_due_ms: list[float] = []

        def keep(due: float, sent: float, answer: bytes) -> None:
            if answer[9:12] == b"202":
                now = time.monotonic()
                waits_ms.append((now - sent) * 1000)
                from_due_ms.append((now - due) * 1000)

        tally = paced(self._hooks(), connections, seconds, per_s, keep)
        others = set(tally.statuses) - {202, _REFUSED}
        if others or not waits_ms:
            raise BenchError(f"neither accepted nor told to come later: {dict(tally.statuses)}")
        self.accepted += tally.accepted_in_all
        self.refused += tally.statuses[_REFUSED]
        settle(self._ground)
        waits_ms.sort()
        return {
            "accepted_per_s": tally.accepted_in_all / seconds,
            "refused_per_s": tally.statuses[_REFUSED] / seconds,
            "p50_ms": waits_ms[len(waits_ms) // 2],
            "p99_ms": waits_ms[int(len(waits_ms) * 0.99)],
            "from_due_p99_ms": sorted(from_due_ms)[int(len(from_due_ms) * 0.99)],
        }

    def check(self) -> None:
        """Raises BenchError where something that was accepted is not there.

        A refusal that came late may be of a hook that is stored all the same: its sender will send it again.
        """
        stored = self._ground.number(_STORED) - self._before
        if not self.accepted <= stored <= self.accepted + self.refused:
            raise BenchError(f"{self.accepted} accepted, {stored} stored, {self.refused} refused")

    def _hooks(self) -> Hooks:
        return Hooks(self._system.port, secrets.token_hex(4), self._system.headers)


BENCH = Bench(
    "overload",
    "three times more than the system can take",
    (Bar("overload", "p99 of what is accepted, ms", "p99_ms", SIDE, most=1000),),
    run,
)
