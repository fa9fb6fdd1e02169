"""P1 and P2: webhooks accepted durably, at 32 connections, against a receiver by hand and Flask doing nothing.

No worker runs, on either side: what is measured is the way from a request to its 202. After each run the rows are
counted, so that nothing is called accepted that is not stored.
"""

from __future__ import annotations

import secrets

from tests.bench import web
from tests.bench.baselines.receiver_schema import SCHEMA
from tests.bench.load import Hooks, closed
from tests.bench.model import Bar, Bench, BenchError, Outcome, Plan, Sample, Side
from tests.bench.pairs import in_turn
from tests.bench.system import System, system_of

CONNECTIONS = 32
_SECONDS = 5.0
_SMOKE_S = 0.5
OURS = "ours"
BY_HAND = "receiver by hand"
BARE = "bare Flask"
BARE_GREENLETS = "bare Flask, greenlets"


def run(plan: Plan) -> Outcome:
    """Starts all servers and posts to them in turn."""
    with system_of(plan) as system:
        sides = _Sides(system, plan.sized(_SECONDS, _SMOKE_S))
        rounds = in_turn(
            [
                Side(BY_HAND, sides.by_hand),
                Side(OURS, sides.ours),
                Side(BARE, sides.bare),
                Side(BARE_GREENLETS, sides.bare_greenlets),
            ],
            plan,
        )
    notes = [
        f"{CONNECTIONS} connections, {sides.seconds:g} s a run. Every answer was 202, every accepted hook a row.",
        "Bare Flask and the receiver by hand: gunicorn with 2 processes of 8 threads. Greenlets: the same bare app "
        "under gevent, as our own server runs; no bar, for comparison.",
        "server_cpu_us_per_request: of gunicorn and all servers; it moves less with other load on the machine.",
    ]
    return Outcome(rounds, notes=notes)


class _Sides:
    def __init__(self, system: System, seconds: float) -> None:
        self.seconds = seconds
        self._ground = ground = system.ground
        self._headers = system.headers
        self._by_hand_url = ground.database("by_hand")
        ground.query(SCHEMA, url=self._by_hand_url)
        by_hand = ground.bare_environ(DATABASE_URL=self._by_hand_url, REDIS_URL=ground.redis_database(1))
        bare = ground.bare_environ()
        self._servers = {
            BY_HAND: web.baseline(ground, "by-hand", "receiver", by_hand),
            BARE: web.baseline(ground, "bare", "bare", bare),
            BARE_GREENLETS: web.baseline(ground, "bare-greenlets", "bare", bare, "-k", "gevent"),
        }
        web.wait(*self._servers.values())
        self._servers[OURS] = system.gunicorn

    def ours(self) -> Sample:
        run, sample, accepted = self._load(OURS)
        _compare(self._ground.number("SELECT count(*) FROM inbox WHERE source = %s", run), accepted)
        self._ground.redis().delete("hooks")
        return sample

    def by_hand(self) -> Sample:
        run, sample, accepted = self._load(BY_HAND)
        statement = "SELECT count(*) FROM events WHERE source = %s"
        _compare(self._ground.number(statement, run, url=self._by_hand_url), accepted)
        self._ground.redis(1).delete("celery")
        return sample

    def bare(self) -> Sample:
        return self._load(BARE)[1]

    def bare_greenlets(self) -> Sample:
        return self._load(BARE_GREENLETS)[1]

    def _load(self, side: str) -> tuple[str, Sample, int]:
        """Posts; returns the source that all hooks of the run have, its figures, and how many were accepted."""
        ground = self._ground
        program, port = self._servers[side]
        ground.settle()
        hooks = Hooks(port, secrets.token_hex(4), self._headers)
        before_s = ground.cpu_s(program)
        tally = closed(hooks, CONNECTIONS, self.seconds)
        tally.check()
        accepted = tally.accepted_in_all
        server_us = 1e6 * (ground.cpu_s(program) - before_s) / accepted
        return hooks.source, {**tally.sample(), "server_cpu_us_per_request": server_us}, accepted


def _compare(stored: int, accepted: int) -> None:
    if stored != accepted:
        raise BenchError(f"{accepted} hooks were answered 202, and {stored} are stored")


BENCH = Bench(
    "accept",
    "webhooks accepted durably, 32 connections",
    (
        Bar("P1", "requests/s against the receiver by hand", "requests_per_s", OURS, BY_HAND, least=4.0),
        Bar("P1", "p99 against the receiver by hand", "p99_ms", OURS, BY_HAND, most=0.999),
        Bar("P2", "requests/s against bare Flask", "requests_per_s", OURS, BARE, least=0.6),
    ),
    run,
)
